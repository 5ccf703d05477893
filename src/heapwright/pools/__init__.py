"""Pools: blocks that are kept for the next request. Fixed, typed, tiered and concurrent, over any resource."""
