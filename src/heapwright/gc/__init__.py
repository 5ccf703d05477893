"""HOW LONG, by reachability: typed records off the Python heap, the heap that collects them, and its reports.

A record lives while something leads to it: a handle in Python, a run, or a reference from another live record.
"""
