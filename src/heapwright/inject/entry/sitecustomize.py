# The interpreter imports this before the program: `heapwright run` puts this directory first on PYTHONPATH.
# It must do nothing at all in an interpreter that is not ours, so it has to compile in any Python, 2
# included.
import os
import sys


def _leave_the_path():
    # The program must not see this directory, and a `sitecustomize` that it shadows must still be found.
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or os.curdir) != here]


def _start():
    session = os.environ.get("HEAPWRIGHT_SESSION")
    if not session or sys.version_info < (3, 11) or sys.implementation.name != "cpython":
        return
    try:
        from heapwright.inject import bootstrap
    except Exception:
        return  # another environment without heapwright, or a subinterpreter: not observed, and not disturbed
    bootstrap.start(session)


def _run_the_shadowed_one():
    # If there is none, its ModuleNotFoundError becomes ours: site.py expects just that, and sys.modules has
    # no trace.
    del sys.modules["sitecustomize"]
    __import__("sitecustomize")


_leave_the_path()
_start()
_run_the_shadowed_one()
