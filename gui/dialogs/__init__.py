"""Small windows and forms that ask for one thing."""
