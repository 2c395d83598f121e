"""Leaving RadTune: bundles, model cards, and applying a bundle to new images."""
