"""WHERE x WHICH: heaps, their builder, and the adaptors that wrap any memory resource."""
