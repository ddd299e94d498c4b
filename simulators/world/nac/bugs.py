"""Planted bugs of the NAC world (bugs.py): each is one that this dialect's seeds have shown, or would have hidden."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from posd.core import advices, originals, reversals, totals_exchange, upload
from posd.core.fold import apply as fold
from posd.core.rules import Rules, Side
from posd.core.state import Reversal, State, Transaction
from simulators.world.planting import patched


def _money_or_not(txn: Transaction, rules: Rules) -> bool:
    return rules.kinds[txn.kind].side is not Side.NEITHER


def _only_denied(draft: object, reversal: Reversal) -> bool:
    return reversal.last_code in reversals.DENIALS


NAC_BUGS: Mapping[str, Callable[[], AbstractContextManager[None]]] = {
    "acknowledgement_believed": lambda: patched(reversals, "_may_stand", _only_denied),
    "old_approval_told": lambda: patched(originals, "repeat_is_over", lambda *_: False),
    "old_sale_taken_back": lambda: patched(fold, "over_until", _unchanged),
    "uploaded_into_the_next_batch": lambda: patched(totals_exchange, "_wants_items", lambda host: False),
    "repeated_end_believed": lambda: patched(upload, "_closed_before", lambda draft, code: False),
    "totals_prove_what_they_lack": lambda: patched(advices, "counts", _money_or_not),
}
"""Name -> how it is planted."""


def _unchanged(state: State, stan: object) -> State:
    return state
