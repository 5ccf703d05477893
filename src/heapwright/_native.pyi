"""The native core behind a thin binding; see native/binding."""
