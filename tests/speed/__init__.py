"""Benchmarks: each prints its figures and is run by hand, ``python -m tests.speed.NAME``.

Figures mean something on a quiet machine only; ratios measured within one process mean something
on any.
"""

from engine.hardware.threads import let_waiting_threads_sleep

let_waiting_threads_sleep()  # as engine.__main__ does, and like there before torch is loaded
