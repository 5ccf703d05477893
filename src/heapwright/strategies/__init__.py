"""WHICH: strategies, each a name for a compiled procedure from a request to an offset or bottom."""
