"""What ``heapwright run`` was asked to do: its own options, the program, the program's arguments.

Parsed by hand: argparse costs 11 ms in front of every program, and its REMAINDER takes options behind the
program for ours (``heapwright run prog.py --json x`` must give ``--json x`` to ``prog.py``).
"""

from __future__ import annotations

from heapwright.cli.main import CommandLineError

USAGE = """\
usage: heapwright run [options] program.py [args...]
       heapwright run [options] -m package.module [args...]
       heapwright run [options] -c CODE [args...]

The program runs in the real interpreter with its own stdin, stdout, exit code and signals; the report goes to
stderr after its last line. PROGRAM may also be a directory, a zip file, `-` (stdin), or the name of a Python
console script of this environment (`heapwright run pytest -q`).

  --allocator {pooled,system}  what lies under NumPy; system = observe only (default: pooled)
  --huge-pages {auto,always,never}
                               for memory that blocks below 4 MiB share: always = fewest page faults, for the C
                               library's heap too; auto = where they are measured to be cheaper than small pages,
                               and not on virtual machines, where they often are not (default: auto)
  --sample SIZE                mean bytes between call-site samples, such as 512KiB; 0 = every allocation,
                               off = none (default: 512KiB)
  --json FILE                  write the report as JSON (docs/reference/run-json.md); not `-`, since stdout
                               belongs to the program
  --quiet                      no report and no progress line on stderr
  --no-progress                no progress line
  --help

Not yet: --allocator hardened, --cpython, --budget, --html, --trace.
"""

ALLOCATORS = ("pooled", "system")
HUGE_PAGES = ("auto", "always", "never")
NOT_YET = {"--cpython": False, "--budget": True, "--html": True, "--trace": True}
"""Options that SURFACE promises -> whether they take a value."""

UNITS = {"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
UNITS |= {f"{prefix}iB": 1 << shift for prefix, shift in (("K", 10), ("M", 20), ("G", 30), ("T", 40))}
UNITS |= {f"{prefix}B": 10**power for prefix, power in (("k", 3), ("K", 3), ("M", 6), ("G", 9), ("T", 12))}


class RunOptions:
    """The parsed command line."""

    __slots__ = ("allocator", "arguments", "form", "huge_pages", "json", "program", "progress", "quiet", "sample")

    def __init__(self) -> None:
        self.allocator = "pooled"
        self.huge_pages = "auto"
        self.sample: int | None = 512 << 10
        self.json: str | None = None
        self.quiet = False
        self.progress = True
        self.form = ""  # "", "-m" or "-c": how the interpreter is told about the program
        self.program = ""
        self.arguments: list[str] = []

    @property
    def wants_figures(self) -> bool:
        """Whether anybody is going to read what is observed."""
        return not self.quiet or self.json is not None


class HelpRequested(Exception):
    """``--help`` was among our options."""


def parse(words: list[str]) -> RunOptions:
    """Split `words` into our options, the program, and the program's arguments.

    Raises
    ------
    CommandLineError
        If an option or a value of ours is unknown, or there is no program.
    """
    options = RunOptions()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            break
        if word[:2] in ("-m", "-c") and not word.startswith("--"):
            value = word[2:] or (rest.pop(0) if rest else "")
            if not value:
                raise CommandLineError(f"{word} needs {'a module' if word == '-m' else 'code'} after it")
            options.form, options.program, options.arguments = word[:2], value, rest
            return options
        if word == "-" or not word.startswith("-"):
            rest.insert(0, word)
            break
        _take_option(options, word, rest)
    if not rest:
        raise CommandLineError("no program given; usage: heapwright run [options] program.py [args...]")
    options.program, options.arguments = rest[0], rest[1:]
    return options


def _take_option(options: RunOptions, word: str, rest: list[str]) -> None:
    name, _, inline = word.partition("=")

    def value(wanted: str) -> str:
        if "=" in word:
            return inline
        if not rest:
            raise CommandLineError(f"{name} needs a value: {wanted}")
        return rest.pop(0)

    if name in ("-h", "--help"):
        raise HelpRequested
    if name in NOT_YET:
        raise CommandLineError(f"{name} is not built yet; `heapwright run --help` lists what is")
    if name == "--quiet":
        options.quiet = True
    elif name == "--no-progress":
        options.progress = False
    elif name == "--json":
        options.json = value("the file to write")
        if options.json in ("", "-"):
            raise CommandLineError("--json needs a file name: stdout belongs to the program (try /dev/stderr)")
    elif name == "--allocator":
        options.allocator = value("pooled or system")
        if options.allocator == "hardened":
            raise CommandLineError("--allocator hardened is not built yet; there are: pooled, system")
        if options.allocator not in ALLOCATORS:
            raise CommandLineError(f"no allocator {options.allocator!r}; there are: pooled, system")
    elif name == "--huge-pages":
        options.huge_pages = value("auto, always or never")
        if options.huge_pages not in HUGE_PAGES:
            raise CommandLineError(f"--huge-pages {options.huge_pages!r} is not one of auto, always, never")
    elif name == "--sample":
        options.sample = _sample(value("a size such as 512KiB, 0 (every allocation) or off"))
    else:
        raise CommandLineError(
            f"no option {name!r}; options of the program go after the program, ours: `heapwright run --help`"
        )


def _sample(text: str) -> int | None:
    if text == "off":
        return None
    try:
        return size_bytes(text)
    except ValueError as error:
        raise CommandLineError(f"--sample {text}: {error}; give a size such as 512KiB, 0 or off") from None


def size_bytes(text: str) -> int:
    """Bytes of a size as a person types it.

    Examples
    --------
    >>> size_bytes("512KiB"), size_bytes("1.5 GiB"), size_bytes("4096"), size_bytes("2MB")
    (524288, 1610612736, 4096, 2000000)
    """
    text = text.strip()
    digits = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
    unit = text[len(digits) :].strip()
    if unit not in UNITS:
        raise ValueError(f"{text!r} is not a size: no unit {unit!r}, there are KiB MiB GiB TiB, kB MB GB TB, B")
    try:
        number = float(digits)
    except ValueError:
        raise ValueError(f"{text!r} is not a size: {digits!r} is not a number") from None
    if not 0 <= number * UNITS[unit] < 1 << 62:
        raise ValueError(f"{text!r} is not a size between 0 and 4 EiB")
    return int(number * UNITS[unit])
