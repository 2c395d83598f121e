"""RadTune's engine: everything that computes, and nothing that draws.

Each stage is a subpackage (data, splits, models, methods, trainer, evaluate, export); a later stage
may import an earlier one, never the reverse. The window talks to the engine through the plain types
of ``engine.contract``.
"""
