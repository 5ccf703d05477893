"""The way into an unmodified program: what runs inside every process under ``heapwright run``.

``entry/sitecustomize.py`` is found by the interpreter through ``PYTHONPATH``; it imports :mod:`.bootstrap`,
which starts the process allocator, the sampler and the arena table, and arms :mod:`.numpy_watch`. Nothing
here may import numpy, or anything else that a program would notice by its cost.
"""
