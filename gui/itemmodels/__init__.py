"""Qt item models: what lists and tables show."""
