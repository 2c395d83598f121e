"""Measuring a finished run on the test set, with intervals."""
