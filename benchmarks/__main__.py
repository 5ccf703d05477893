"""Every table in a short form, in about ten minutes: what ``make bench`` runs.

python -m benchmarks [--rounds 1] [--folder build/bench]
"""

import argparse
from pathlib import Path

from benchmarks import (
    adaptors,
    arena,
    heap,
    observe,
    owners,
    pools,
    programs,
    purge,
    record_pauses,
    record_reports,
    records,
    sharing,
    small_blocks,
    startup,
    temporaries,
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("build/bench"), help="where samples are kept")
    options = parser.parse_args()
    rounds = str(options.rounds)

    def kept(name: str) -> list[str]:
        return ["--json", str(options.folder / f"{name}.json")]

    print("## Blocks from Python\n")
    heap.main(kept("heap"))
    print("\n## Small blocks in C\n")
    small_blocks.main(["--processes", "2", *kept("small-blocks")])
    print("\n## Adaptors\n")
    adaptors.main(kept("adaptors"))
    print("\n## Giving back\n")
    purge.main(["--churn", "100000", *kept("purge")])
    print("\n## Arenas\n")
    arena.main(["--rounds", str(options.rounds), *kept("arena")])
    print("\n## Owners\n")
    owners.main(["--rounds", rounds, "--nodes", "300000", *kept("owners")])
    print("\n## An array to another process\n")
    sharing.main(["--rounds", str(5 * options.rounds), *kept("sharing")])
    print("\n## Records\n")
    records.main(["--rounds", rounds, "--nodes", "300000", *kept("records")])
    record_pauses.main(["--rounds", rounds, "--nodes", "300000", *kept("record-pauses")])
    record_reports.main(["--rounds", rounds, "--nodes", "300000", *kept("record-reports")])
    print("\n## Pools\n")
    pools.main(kept("pools"))
    print("\n## Start-up\n")
    startup.main(["--rounds", str(5 * options.rounds), *kept("startup")])
    print("\n## Temporaries\n")
    temporaries.main(["--rounds", rounds, "--only", "64KiB,1MiB,8MiB,64MiB", *kept("temporaries")])
    print("\n## Watching only\n")
    observe.main(["--rounds", rounds, *kept("observe")])
    print("\n## Programs\n")
    programs.main(["--rounds", rounds, *kept("programs")])


if __name__ == "__main__":
    main()
