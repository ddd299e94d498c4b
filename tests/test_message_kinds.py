"""The table of kinds in posd/ARCHITECTURE.md stays true: every kind with its row, its code, its tests."""

import re
from pathlib import Path

import pytest

from posd.profiles.unionpay.data import KINDS, MATRIX
from tests.test_decisions import NAMED, file_of, functions_in

ROOT = Path(__file__).parents[1]
HEADING = "## Every kind, its code and its tests"


def rows() -> dict[str, tuple[str, str, str]]:
    """Of each kind: its place in the matrix, code and tests."""
    text = (ROOT / "posd" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    section = text.split(f"{HEADING}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line.strip("| \n").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return {cells[0].strip("`"): (cells[1], cells[2], cells[3]) for cells in lines}


def test_every_kind_has_a_row() -> None:
    assert set(rows()) == {kind.value for kind in KINDS}


@pytest.mark.parametrize("kind", list(MATRIX))
def test_a_kind_stands_there_as_the_dialect_has_it(kind: str) -> None:
    row = MATRIX[kind]
    assert rows()[kind][0] == f"{row.mti} / {row.processing_code} / {row.condition_code} / {row.type_code}"


def others() -> dict[str, tuple[str, str]]:
    """What is no kind of its own: code and tests."""
    text = (ROOT / "posd" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    section = text.split("\nWhat is no kind of its own:\n", 1)[1].split("\n**", 1)[0]
    lines = [line.strip("| \n").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return {cells[0]: (cells[2], cells[3]) for cells in lines[1:]}


@pytest.mark.parametrize("kind", [kind.value for kind in KINDS])
def test_its_code_and_its_tests_exist(kind: str) -> None:
    _, code, tests = rows()[kind]
    _exist(code, tests)


@pytest.mark.parametrize("what", others())
def test_the_code_and_the_tests_of_what_is_no_kind_exist(what: str) -> None:
    _exist(*others()[what])


def _exist(code: str, tests: str) -> None:
    here: Path | None = None
    for name in NAMED.findall(code):
        if (file := file_of(name)) is not None:
            here = file
            continue
        assert here is not None
        assert re.search(rf"^(?:def |class )?{re.escape(name)}\b", here.read_text("utf-8"), re.MULTILINE), name
    for name in NAMED.findall(tests):
        file, _, test = name.partition("::")
        assert test in functions_in(ROOT / "tests" / file), name
