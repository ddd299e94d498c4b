"""What the books say: totals of a batch, and what an unbalanced group has to upload (reference 1.6, 1.7).

A voided sale stays in debit and its void counts in credit. Declined, unknown and reversed requests count nowhere. An
advice counts from the moment on that it is ours to deliver; what was adjusted counts once, with the adjusted amount.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from posd.core.answers import GroupCount, GroupResult, HostTotals, Totals
from posd.core.rules import Rules, Side, Upload
from posd.core.state import Transaction, TxnStatus
from posd.values import RequestId

MONEY = frozenset({TxnStatus.APPROVED, TxnStatus.STORED, TxnStatus.REFUSED})
"""The money has changed hands: the host says so, or the terminal does, in an advice."""


def counts(txn: Transaction, rules: Rules) -> bool:
    """It stands in the totals."""
    return txn.status in MONEY and txn.replaced_by is None and rules.kinds[txn.kind].side is not Side.NEITHER


def totals_of(transactions: Iterable[Transaction], rules: Rules) -> Totals:
    """Both groups, debits and credits; all in the first where the acquirer has one."""
    domestic, foreign = GroupCount(), GroupCount()
    for txn in transactions:
        if not counts(txn, rules):
            continue
        side = rules.kinds[txn.kind].side
        if txn.foreign and rules.foreign_apart:
            foreign = _add(foreign, side, txn.counted_minor)
        else:
            domestic = _add(domestic, side, txn.counted_minor)
    return Totals(domestic, foreign)


def gross_of(totals: Totals) -> int:
    """Debits and credits of both groups, added up."""
    return sum(group.debit_minor + group.credit_minor for group in (totals.domestic, totals.foreign))


def possible(totals: Totals) -> bool:
    """Each amount has a count, and each count an amount: nothing of zero is ever sold."""
    groups = (totals.domestic, totals.foreign)
    sides = [(g.debit_minor, g.debit_count) for g in groups] + [(g.credit_minor, g.credit_count) for g in groups]
    return all((minor > 0) == (count > 0) for minor, count in sides)


def _add(group: GroupCount, side: Side, minor: int) -> GroupCount:
    if side is Side.DEBIT:
        return replace(group, debit_minor=group.debit_minor + minor, debit_count=group.debit_count + 1)
    return replace(group, credit_minor=group.credit_minor + minor, credit_count=group.credit_count + 1)


def to_upload(transactions: Iterable[Transaction], host: HostTotals, rules: Rules) -> tuple[RequestId, ...]:
    """The items of the groups that the host did not call balanced, oldest first; chips are told apart (chips.py)."""
    wanted = {False: host.domestic is not GroupResult.BALANCED, True: host.foreign is not GroupResult.BALANCED}
    return tuple(
        txn.request_id
        for txn in transactions
        if counts(txn, rules)
        and wanted[txn.foreign]
        and not txn.chip
        and rules.kinds[txn.kind].upload is not Upload.NONE
    )
