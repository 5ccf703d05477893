"""A program does under `heapwright run` what it does without it."""

import sys
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from running import execute

LOOKS_AROUND = """
import sys, os, pickle, json
class Thing:
    pass
print(sys.argv, __name__, __file__, sys.path, sys.flags, sys.warnoptions, sys._xoptions)
print(pickle.dumps(Thing()), pickle.loads(pickle.dumps(Thing())).__class__)
print(sys.modules["__main__"].__spec__, __loader__, os.getcwd(), sys.orig_argv)
print(sys.stdin.isatty(), sys.stdout.isatty(), sys.stdout.line_buffering, sys.stderr.isatty())
print("sitecustomize" in sys.modules, [finder for finder in sys.path_hooks])
print(sorted(k for k in os.environ if k not in ("PYTHONPATH", "HEAPWRIGHT_SESSION", "GLIBC_TUNABLES")))
"""


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def test_script_sees_the_same_world(same: Callable, tmp_path: Path) -> None:
    write(
        tmp_path / "prog.py",
        LOOKS_AROUND.replace("__loader__, ", "type(__loader__), ").replace("sys.path_hooks", "()"),
    )
    result = same("prog.py", "--json", "x", "-m", "y")
    assert "['prog.py', '--json', 'x', '-m', 'y'] __main__" in result.stdout


@pytest.mark.parametrize(
    ("statement", "exit_code"),
    [
        ("sys.exit()", 0),
        ("sys.exit(7)", 7),
        ("sys.exit('a message')", 1),
        ("sys.exit(None)", 0),
        ("sys.exit(-1)", 255),
        ("raise ValueError('no\\u2026')", 1),
        ("os._exit(5)", 5),
        ("raise KeyboardInterrupt", -2),
        ("os.kill(os.getpid(), 15)", -15),
        ("os.kill(os.getpid(), 9)", -9),
        ("os.abort()", -6),
        ("import ctypes; ctypes.string_at(0)", -11),
        ("1 1", 1),
        ("import atexit; atexit.register(print, 'left'); sys.exit(3)", 3),
    ],
)
def test_every_way_to_end(same: Callable, tmp_path: Path, statement: str, exit_code: int) -> None:
    write(tmp_path / "prog.py", f"import os, sys\nprint('hello', flush=True)\ndef f():\n    {statement}\nf()\n")
    assert same("prog.py").exit_code == exit_code


def test_module_package_directory_zip_stdin_and_code(same: Callable, tmp_path: Path) -> None:
    body = "import sys; print(sys.argv[1:], __name__, __package__, __spec__ and __spec__.name, sys.path[0])\n"
    write(tmp_path / "pkg/__init__.py", "")
    write(tmp_path / "pkg/__main__.py", body)
    write(tmp_path / "pkg/tool.py", body)
    write(tmp_path / "folder/__main__.py", body)
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        archive.writestr("__main__.py", body)
    for arguments in (
        ("-m", "pkg", "a"),
        ("-mpkg.tool", "--quiet"),
        ("folder", "a"),
        ("app.zip", "a"),
        ("-c", body, "a"),
        ("-", "a"),
        ("nothing.py",),
        ("-m", "no_such_module"),
    ):
        same(*arguments, stdin=body)


def test_stdin_is_the_programs(same: Callable, tmp_path: Path) -> None:
    write(
        tmp_path / "prog.py",
        "import sys\nprint(sys.stdin.isatty())\nfor line in sys.stdin: print(line.upper(), end='')",
    )
    assert same("prog.py", stdin="one\ntwo\n").stdout == "False\nONE\nTWO\n"


def test_a_shadowed_sitecustomize_still_runs(same: Callable, tmp_path: Path) -> None:
    write(tmp_path / "site/sitecustomize.py", "import sys; sys.by_site = (__name__, __file__)")
    write(
        tmp_path / "prog.py",
        "import sys, os; print(sys.by_site, sys.path, sys.modules['sitecustomize'].__file__)",
    )
    result = same("prog.py", PYTHONPATH=str(tmp_path / "site"))
    assert "site/sitecustomize.py" in result.stdout


def test_a_failing_sitecustomize_fails_as_before(observed: Callable, tmp_path: Path) -> None:
    write(tmp_path / "site/sitecustomize.py", "raise RuntimeError('no')")
    write(tmp_path / "prog.py", "print('still here')")
    result = observed("prog.py", PYTHONPATH=str(tmp_path / "site"))
    # once in the supervisor's own interpreter, once in the program's
    assert result.stderr.count("Error in sitecustomize; set PYTHONVERBOSE for traceback:\nRuntimeError: no") == 2
    assert result.stdout == "still here\n"


def test_the_users_pythonpath_is_kept(same: Callable, tmp_path: Path) -> None:
    write(tmp_path / "lib/mine.py", "value = 42")
    write(tmp_path / "prog.py", "import mine, sys; print(mine.value, sys.path)")
    assert same("prog.py", PYTHONPATH=f"{tmp_path}/lib:{tmp_path}/other").stdout.startswith("42")


def test_warnings_as_errors(tmp_path: Path) -> None:
    write(tmp_path / "prog.py", "import sys, numpy; print(sys.warnoptions, numpy.zeros(300_000).sum())")
    flags = ["-W", "error", "-X", "utf8"]
    plain = execute([sys.executable, *flags, "prog.py"], tmp_path)
    ours = execute([sys.executable, *flags, "-m", "heapwright", "run", "prog.py"], tmp_path)
    assert (ours.stdout, ours.stderr, ours.exit_code) == (plain.stdout, plain.stderr, 0)


@pytest.mark.parametrize(
    "body",
    [
        # NumPy imported in a thread
        """
        import threading
        out = []
        def work():
            import numpy
            out.append(numpy.ones(1 << 18).sum())
        threads = [threading.Thread(target=work) for _ in range(8)]
        for t in threads: t.start()
        for t in threads: t.join()
        print(out)
        """,
        # its spec asked for before it is imported
        """
        import importlib.util, sys
        spec = importlib.util.find_spec("numpy")
        print(spec.name, "numpy" in sys.modules)
        import numpy
        print(type(numpy.__loader__).__name__, vars(numpy.__loader__).keys())
        print(any("heapwright" in type(f).__module__ for f in sys.meta_path))
        """,
        """
        import asyncio
        async def work(n):
            await asyncio.sleep(0.01)
            import numpy
            return float(numpy.arange(n).sum())
        async def main():
            print(await asyncio.gather(*map(work, range(100, 110))), await asyncio.to_thread(sum, [9]))
        asyncio.run(main())
        """,
        """
        import subprocess, sys
        code = "import sys, numpy; print(sys.path[0], numpy.ones(9).sum())"
        print(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True))
        print(subprocess.run([sys.executable, "-I", "-c", "print(1)"], capture_output=True, text=True))
        print(subprocess.run([sys.executable, "-S", "-c", "print(1)"], capture_output=True, text=True))
        """,
        """
        import os
        import numpy
        a = numpy.ones(1 << 20)
        pid = os.fork()
        if pid == 0:
            a += 1
            os._exit(int(a[5]) + 10)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), a.sum())
        """,
    ],
    ids=["threads", "spec-first", "asyncio", "subprocess", "fork"],
)
def test_programs(same: Callable, tmp_path: Path, body: str) -> None:
    write(tmp_path / "prog.py", body)
    assert same("prog.py").exit_code == 0


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(same: Callable, tmp_path: Path, method: str) -> None:
    write(
        tmp_path / "prog.py",
        f"""
        import multiprocessing
        def work(n):
            import numpy
            return float(numpy.arange(n).sum())
        if __name__ == "__main__":
            with multiprocessing.get_context("{method}").Pool(2) as pool:
                print(pool.map(work, [10, 100_000, 1_000_000]))
        """,
    )
    assert same("prog.py").exit_code == 0


def test_nested_runs(observed: Callable, tmp_path: Path) -> None:
    write(tmp_path / "inner.py", "import sys; print('inner', sys.path[0]); sys.exit(4)")
    write(
        tmp_path / "prog.py",
        """
        import subprocess, sys
        command = [sys.executable, "-m", "heapwright", "run", "inner.py"]
        done = subprocess.run(command, capture_output=True, text=True)
        print(done.returncode, done.stdout, done.stderr.count("heapwright run"))
        """,
    )
    result = observed("prog.py")
    assert result.stdout.startswith(f"4 inner {tmp_path}\n 1"), result


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams(tmp_path: Path, closed: str) -> None:
    write(
        tmp_path / "prog.py",
        "import os, sys; os._exit(10 + sum(s is None for s in (sys.stdin, sys.stdout, sys.stderr)))",
    )
    codes = [
        execute(["sh", "-c", f"exec {sys.executable} {words} prog.py {closed}"], tmp_path).exit_code
        for words in ("", "-m heapwright run")
    ]
    assert codes == [10 + closed.count("&")] * 2


def test_exec_of_another_program(same: Callable, tmp_path: Path) -> None:
    write(tmp_path / "prog.py", "import os, sys; os.execv('/bin/sh', ['sh', '-c', 'echo $0 $$ > /dev/null; exit 9'])")
    assert same("prog.py").exit_code == 9


def test_subinterpreters_are_left_alone(same: Callable, tmp_path: Path) -> None:
    write(
        tmp_path / "prog.py",
        """
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        other = interpreters.create()
        print(interpreters.run_string(other, "import sys; print([type(f).__name__ for f in sys.meta_path][0])"))
        interpreters.destroy(other)
        print("still", flush=True)
        """,
    )
    result = same("prog.py")
    assert result.exit_code == 0
    assert "could not be observed" not in result.report
    assert "at the end" in result.report


def test_a_program_without_arrays_has_no_thread_of_ours(same: Callable, tmp_path: Path) -> None:
    # unshare(CLONE_NEWUSER) is refused to a process with a second thread
    body = """
    import ctypes, os
    libc = ctypes.CDLL(None, use_errno=True)
    print(len(os.listdir("/proc/self/task")), libc.unshare(0x10000000), ctypes.get_errno())
    """
    write(tmp_path / "prog.py", body)
    assert same("prog.py").stdout.startswith("1 ")
