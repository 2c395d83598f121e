"""Training, validation and test, with every patient on one side only."""
