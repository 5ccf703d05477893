"""What heapwright costs and gains, measured beside its rivals: see README.md in this directory."""
