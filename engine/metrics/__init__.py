"""Measures of a classifier: ranking, decisions, calibration, and how sure each number is."""
