"""Every link in the documentation leads somewhere, and the seed table says of each row what there is."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for folder in (ROOT, ROOT / "docs", ROOT / "benchmarks", ROOT / "examples")
    for page in (folder.glob("*.md") if folder in (ROOT, ROOT / "benchmarks") else folder.rglob("*.md"))
)
ROWS = {"A": 7, "B": 9, "C": 8, "D": 6, "E": 8, "F": 3, "G": 6, "H": 9}
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def links(text: str) -> list[str]:
    return [link for link in LINK.findall(FENCED.sub("", text)) if "://" not in link]


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page.read_text()):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_relative_to(ROOT), f"{link} leads out of the repository"
        assert target.exists(), f"{link} does not exist"
        assert not anchor or anchor in anchors(target), f"{link}: there is no such heading"


def test_the_readme_is_short_and_names_commands_that_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 150
    for target in re.findall(r"(?:^    |`)make ([a-z-]+)", readme, re.MULTILINE):
        subprocess.run(["make", "--dry-run", "--silent", target], cwd=ROOT, check=True, capture_output=True)


def seed_rows() -> dict[str, list[str]]:
    table = (ROOT / "docs/seed-table.md").read_text()
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.splitlines()]
    return {row[0]: row[1:] for row in rows if re.fullmatch(r"[A-H]\d", row[0])}


def test_the_seed_table_has_every_row_once() -> None:
    expected = [f"{letter}{number}" for letter, count in ROWS.items() for number in range(1, count + 1)]
    assert list(seed_rows()) == expected
    assert len(re.findall(r"^\| [A-H]\d \|", (ROOT / "docs/seed-table.md").read_text(), re.MULTILINE)) == len(expected)


def test_what_is_claimed_has_code_tests_and_an_example() -> None:
    for name, (_, state, *evidence) in seed_rows().items():
        assert re.match(r"not yet|first form: |done$", state), f"{name}: {state}"
        if not state.startswith("not yet"):
            code, tests, example = (links(cell) for cell in evidence)
            assert code, f"{name} has no code"
            assert all(link.startswith("../tests/") for link in tests), f"{name}: not tests: {tests}"
            assert tests, f"{name} has no tests"
            assert example, f"{name} has no example"


def test_the_corrections_are_in_the_order_of_the_seed_table() -> None:
    corrections = (ROOT / "docs/seed-corrections.md").read_text()
    sections = re.findall(r"^## (\w+) ", corrections, re.MULTILINE)
    assert sections == [name for name in seed_rows() if name in sections]


@pytest.mark.parametrize("folder", ["docs/adr", "docs/how-to", "docs/reference"])
def test_every_page_is_in_a_list_of_pages(folder: str) -> None:
    contents = ROOT / folder / "README.md"
    contents = contents if contents.exists() else ROOT / "docs/README.md"
    listed = {(contents.parent / link).resolve() for link in links(contents.read_text())}
    missing = {page.name for page in (ROOT / folder).glob("*.md")} - {page.name for page in listed} - {"README.md"}
    assert not missing, f"{contents.relative_to(ROOT)} does not list {missing}"


def test_the_architecture_names_every_room() -> None:
    rooms = (ROOT / "ARCHITECTURE.md").read_text().partition("## The rooms")[2].partition("**The law of imports**")[0]
    for room in (ROOT / "src/heapwright").glob("*/__init__.py"):
        assert f" {room.parent.name}/" in rooms, f"{room.parent.name} is not in the list of rooms"
