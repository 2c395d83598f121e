"""What to try first with a project; the rules are ``engine.contract.recommendation``."""
