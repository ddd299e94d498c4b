"""The tables of messages by dialect in posd/ARCHITECTURE.md stay true to the core's vocabulary and the profiles."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from posd.core import effects as fx
from posd.profiles.nac.data import MATRIX, kinds_of
from tests.interop import kinds
from tests.interop.dialects import DIALECTS
from tests.test_decisions import NAMED, functions_in

ROOT = Path(__file__).parents[1]
MESSAGES, NAC_KINDS = "## Every message in both dialects", "## Every kind of the NAC dialect"
COLUMNS = ("unionpay", "nac")
NONE = "–"


def rows(heading: str) -> dict[str, list[str]]:
    """The cells of each row behind its name; a name that stands there twice is an error."""
    text = (ROOT / "posd" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    section = text.split(f"{heading}\n", 1)[1].split("\n## ", 1)[0]
    found: dict[str, list[str]] = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            name, *cells = line.strip("| ").split(" | ")
            assert name not in found, name
            found[name.strip("`")] = cells
    return found


def forms() -> Iterator[str]:
    """Every class of message of the core: what leaves for a host, and what is answered."""
    for cls in get_args(fx.HostMessage):
        yield "request" if cls is fx.SendTransaction else kinds.words(cls)
    for cls in get_args(fx.ToTerminal.__annotations__["answer"]):
        yield f"answer: {kinds.words(cls)}"


def test_every_message_has_a_row() -> None:
    assert set(rows(MESSAGES)) == set(forms())


@pytest.mark.parametrize("form", list(forms()))
def test_a_dialect_has_a_test_for_each_message_that_it_has(form: str) -> None:
    for dialect, cell in zip(COLUMNS, rows(MESSAGES)[form], strict=True):
        if form in DIALECTS[dialect].absent:
            assert cell == NONE
        else:
            _exist(cell)


def test_every_kind_of_the_nac_dialect_has_a_row() -> None:
    assert set(rows(NAC_KINDS)) == {kind.value for kind in kinds_of("excluded")} == {kind.value for kind in MATRIX}


@pytest.mark.parametrize("kind", list(MATRIX))
def test_a_nac_kind_stands_there_as_the_dialect_has_it(kind: str) -> None:
    row = MATRIX[kind]
    place, tests = rows(NAC_KINDS)[kind]
    assert place == f"{row.mti} / {row.process}"
    _exist(tests)


def _exist(cell: str) -> None:
    named = NAMED.findall(cell)
    assert named, "no test is named"
    for name in named:
        file, _, test = name.partition("::")
        assert test in functions_in(ROOT / "tests" / file), name
