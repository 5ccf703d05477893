"""HOW LONG: who holds a block, what its holder may do with it in which state, and how it ends.

The states are those of the one life cycle, `heapwright.model.lifecycle`.
"""
