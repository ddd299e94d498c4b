"""The tables: every pair moves or is refused by name, and the prose on top of each file says the same."""

from enum import StrEnum
from types import ModuleType

import pytest

from posd.core import records as r
from posd.core import session
from posd.core.fold.apply import apply, opened
from posd.core.state import AdviceStatus, ReversalStatus, SettlementPhase, TxnStatus
from posd.core.tables import advices, reversals, settlement, transactions
from posd.errors import InvariantBroken
from posd.values import BatchNumber, Stan, Tid

MACHINES = [
    (transactions, TxnStatus, "status", False),
    (reversals, ReversalStatus, "status", False),
    (settlement, SettlementPhase, "on", True),
    (advices, AdviceStatus, "status", False),
]


def prose(module: ModuleType, corner: str) -> list[list[str]]:
    """The table in a module's docstring: rows of cells, the heading first."""
    lines = (module.__doc__ or "").splitlines()
    start = next(number for number, line in enumerate(lines) if line.split()[:1] == [corner])
    rows = []
    for line in lines[start:]:
        if not line.strip():
            break
        rows.append(line.split())
    return rows


@pytest.mark.parametrize(
    ("module", "statuses", "corner", "across"), MACHINES, ids=["transactions", "reversals", "settlement", "advices"]
)
def test_the_prose_says_what_the_table_says(
    module: ModuleType, statuses: type[StrEnum], corner: str, across: bool
) -> None:
    heading, *rows = prose(module, corner)
    table = {}
    for name, *cells in rows:
        assert len(cells) == len(heading) - 1
        for column, cell in zip(heading[1:], cells, strict=True):
            status, what = (column, name) if across else (name, column)
            if cell != "-":
                table[statuses(status), module.Input(what)] = statuses(cell.lower())
    assert table == module.TABLE
    names = {name for name, *_ in rows}
    assert names | set(heading[1:]) == {*statuses, *module.Input}


@pytest.mark.parametrize(
    ("module", "statuses", "corner", "across"), MACHINES, ids=["transactions", "reversals", "settlement", "advices"]
)
def test_each_pair_moves_or_is_refused_by_name(
    module: ModuleType, statuses: type[StrEnum], corner: str, across: bool
) -> None:
    for status in statuses:
        for what in module.Input:
            if (status, what) in module.TABLE:
                assert module.move(status, what) in statuses
            else:
                with pytest.raises(InvariantBroken) as refused:
                    module.move(status, what)
                assert status in str(refused.value)
                assert what in str(refused.value)


def test_the_table_of_the_session() -> None:
    """Two states and three records: the prose against the fold."""
    signed_out = opened(r.LaneOpened(Tid("10000001"), Stan(1), BatchNumber(1)), 0)
    signed_in = apply(signed_out, r.SignedIn(Stan(1), "00", None, None), 0)
    happenings = [r.SignedIn(Stan(2), "01", None, None), r.SignInFailed(Stan(2), "no"), r.SignedOut("77")]
    lines = [line.split() for line in (session.__doc__ or "").splitlines() if line.startswith("    signed ")]
    for state, words in zip((signed_out, signed_in), lines, strict=True):
        cells = [" ".join(words[at : at + 2]) for at in (2, 4, 6)]
        for record, cell in zip(happenings, cells, strict=True):
            assert apply(state, record, 0).session.signed_in is (cell == "SIGNED IN")
