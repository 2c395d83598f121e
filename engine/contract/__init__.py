"""What the engine and the window agree on: plain frozen types, standard library only.

Nothing here computes. ``config`` says what a run does, ``events`` what happened, ``commands`` what
can be asked of a worker, ``records`` what a project holds, ``backbones`` and ``methods`` what there
is to choose from, ``errors`` what a user is told, and ``protocol`` how all of it travels as JSON
lines.
"""
