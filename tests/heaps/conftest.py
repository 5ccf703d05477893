import sys
from collections.abc import Iterator

import pytest


@pytest.fixture
def often() -> Iterator[None]:
    """Let threads take turns every 20 us."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(2e-5)
    yield
    sys.setswitchinterval(interval)
