"""Public test kits: whether a memory resource keeps the contract, and whether code survives every failed allocation.

`conformance` and `adaptor_conformance` need hypothesis: ``pip install 'heapwright[test]'``. pytest is not needed.
"""

from heapwright.testing.client import (
    Nonconformance as Nonconformance,
)
from heapwright.testing.conformance import (
    ADAPTOR_CLAUSES as ADAPTOR_CLAUSES,
)
from heapwright.testing.conformance import (
    CLAUSES as CLAUSES,
)
from heapwright.testing.conformance import (
    Clause as Clause,
)
from heapwright.testing.conformance import (
    adaptor_conformance as adaptor_conformance,
)
from heapwright.testing.conformance import (
    conformance as conformance,
)
from heapwright.testing.failing import (
    AllocationsLeaked as AllocationsLeaked,
)
from heapwright.testing.failing import (
    Failing as Failing,
)
from heapwright.testing.failing import (
    FailureSwallowed as FailureSwallowed,
)
from heapwright.testing.failing import (
    check_all_failures as check_all_failures,
)
from heapwright.testing.failing import (
    failing_nth as failing_nth,
)
from heapwright.testing.plain import (
    PlainBlock as PlainBlock,
)
from heapwright.testing.plain import (
    PlainResource as PlainResource,
)
