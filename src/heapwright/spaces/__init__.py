"""WHERE: spaces, M = (A, S, P), the ranges of addresses that heaps divide."""
