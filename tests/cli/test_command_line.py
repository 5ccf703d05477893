"""Bad command lines of ours: what, why, how to fix, exit 2; the program's stays the program's."""

import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from running import execute

from heapwright.cli.command_line import parse
from heapwright.cli.main import CommandLineError, main


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "no program given"),
        (("--frobnicate", "x.py"), "no option '--frobnicate'"),
        (("--sample", "many", "x.py"), "--sample many"),
        (("--sample", "-1", "x.py"), "--sample -1"),
        (("--sample",), "needs a value"),
        (("--json",), "needs a value"),
        (("--json", "-", "x.py"), "stdout belongs to the program"),
        (("--json", "/nonexistent/dir/x.json", "x.py"), "cannot write"),
        (("--allocator", "best", "x.py"), "no allocator 'best'"),
        (("--allocator", "hardened", "x.py"), "not built yet"),
        (("--huge-pages", "sometimes", "x.py"), "not one of auto, always, never"),
        (("--budget", "4GiB", "x.py"), "not built yet"),
        (("--cpython", "x.py"), "not built yet"),
        (("--html", "x.html", "x.py"), "not built yet"),
        (("--trace", "x", "x.py"), "not built yet"),
        (("-m",), "needs a module"),
        (("ls",), "is not a Python script"),
    ],
)
def test_bad_command_lines(observed: Callable, arguments: tuple[str, ...], says: str) -> None:
    result = observed(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stderr.startswith("heapwright: ")
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


def test_options_behind_the_program_are_the_programs() -> None:
    options = parse(["--quiet", "--sample=1MiB", "prog.py", "--sample", "nonsense", "--help"])
    assert (options.quiet, options.sample, options.program) == (True, 1 << 20, "prog.py")
    assert options.arguments == ["--sample", "nonsense", "--help"]
    assert parse(["-m", "pkg.mod", "-c", "x"]).arguments == ["-c", "x"]
    assert parse(["--", "-prog.py"]).program == "-prog.py"
    with pytest.raises(CommandLineError):
        parse(["-x", "prog.py"])


def test_help_and_version(observed: Callable) -> None:
    result = observed("--help")
    assert result.exit_code == 0
    assert "--allocator {pooled,system}" in result.stdout
    assert "Not yet" in result.stdout


@pytest.mark.parametrize("command", ["run", "prove", "doctor"])
def test_help_about_a_command_is_its_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked = []
    for words in ((command, "--help"), ("help", command)):
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        assert not ended.value.code
        asked.append(capsys.readouterr().out)
    assert asked[0] == asked[1]
    assert asked[0].startswith(f"usage: heapwright {command}")


def test_console_scripts_of_this_environment_run(observed: Callable, tmp_path: Path) -> None:
    assert observed("pytest", "--version", PATH=str(Path(sys.executable).parent)).stdout.startswith("pytest ")


def test_console_scripts_of_others_are_explained(observed: Callable, tmp_path: Path) -> None:
    script = tmp_path / "bin" / "tool"
    script.parent.mkdir()
    script.write_text("#!/opt/other/bin/python3\nprint(1)\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    result = observed("tool", PATH=str(script.parent))
    assert result.exit_code == 2
    assert "belongs to another Python (/opt/other/bin/python3)" in result.stderr


@pytest.mark.parametrize("flag", ["-I", "-E", "-sE"])
def test_interpreter_flags_that_would_blind_us(tmp_path: Path, flag: str) -> None:
    result = execute([sys.executable, flag, "-m", "heapwright", "run", "x.py"], tmp_path)
    assert result.exit_code == 2
    assert "cannot be observed" in result.stderr
