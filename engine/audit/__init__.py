"""Checks before training: what would ruin a classifier, said in plain sentences."""
