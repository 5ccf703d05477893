"""The ``heapwright`` command: one module per subcommand, and what stands around ``run``."""
