"""The table in posd/ARCHITECTURE.md stays true: every decision has a row, and all that a row names exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DECISIONS = range(1, 40)
HEADING = "## Decisions and where they live"
NAMED = re.compile(r"`([^`]+)`")


def rows() -> dict[int, tuple[str, str]]:
    """The cells `code` and `tests` of each decision; a number that stands there twice is an error."""
    text = (ROOT / "posd" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    section = text.split(f"{HEADING}\n", 1)[1].split("\n## ", 1)[0]
    found: dict[int, tuple[str, str]] = {}
    for line in section.splitlines():
        if re.match(r"\| D\d", line):
            number, short, code, tests = (cell.strip() for cell in line.strip("|").split(" | "))
            assert short
            assert int(number[1:]) not in found, number
            found[int(number[1:])] = code, tests
    return found


def file_of(name: str) -> Path | None:
    """The file of that name, below posd/ or the project's root."""
    return next((path for path in (ROOT / "posd" / name, ROOT / name) if path.is_file()), None)


@cache
def functions_in(path: Path) -> frozenset[str]:
    return frozenset(
        node.name for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)
    )


def test_every_decision_has_a_row() -> None:
    assert sorted(rows()) == list(DECISIONS)


@pytest.mark.parametrize("number", DECISIONS)
def test_the_code_that_a_decision_names_exists(number: int) -> None:
    """First a file, then what to look for in it: a function or class of Python, or a word of anything else."""
    here: Path | None = None
    for name in NAMED.findall(rows()[number][0]):
        file = file_of(name)
        if file is not None:
            here = file
            continue
        assert here is not None, f"{name} is no file, and none was named before"
        assert "/" not in name, f"{name}: there is no such file"
        word = rf"\b(?:def|class) {re.escape(name)}\b" if here.suffix == ".py" else re.escape(name)
        assert re.search(word, here.read_text("utf-8")), f"{name} is not in {here.name}"
    assert here is not None


@pytest.mark.parametrize("number", DECISIONS)
def test_the_tests_that_a_decision_names_exist_and_bear_its_number(number: int) -> None:
    named = NAMED.findall(rows()[number][1])
    assert named
    for name in named:
        file, _, test = name.partition("::")
        assert test.startswith(f"test_d{number}_")
        assert test in functions_in(ROOT / "tests" / file), name


def test_no_test_proves_a_decision_that_there_is_not() -> None:
    texts = (path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    numbers = {int(number) for text in texts for number in re.findall(r"^def test_d(\d+)_", text, re.MULTILINE)}
    assert numbers == set(DECISIONS)
