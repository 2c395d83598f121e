"""The jobs that tie several stages together; ``engine.run`` dispatches to them."""
