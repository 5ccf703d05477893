"""The pytest plugin: ``@pytest.mark.no_leaks`` fails a test that leaves blocks, buffers, shared values or nodes behind.

pytest loads it by itself where heapwright is installed. What a fixture made before the test is not watched; what the
test function made must be gone when it returns. A test that fails otherwise fails with its own error.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

MARKER = (
    "no_leaks(allow_bytes=None, allow_count=None, allow=None, collect=True): fail if what the test makes of "
    "heapwright's memory is alive at its end; the arguments are those of heapwright.no_leaks"
)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, also under ``--strict-markers``."""
    config.addinivalue_line("markers", MARKER)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Run a marked test inside of `no_leaks`."""
    marker = item.get_closest_marker("no_leaks")
    if marker is None:
        return (yield)
    from heapwright import no_leaks

    with no_leaks(*marker.args, **marker.kwargs):
        return (yield)
