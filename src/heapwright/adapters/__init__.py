"""Adapters: heapwright under, and beside, other libraries. One file each; each is optional."""

from heapwright.adapters import numpy as numpy

__all__ = ["numpy"]
