"""Training: the loop, and the state that makes it resumable."""
