"""Benchmarks: each prints its figures and is run by hand, ``python -m tests.speed.NAME``.

Figures mean something on a quiet machine only; ratios measured within one process mean something
on any.
"""
