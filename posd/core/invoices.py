"""Invoice numbers, in a dialect that has them (reference 2.4): the host finds by them what a void or adjustment means.

- A terminal counts its own. A till beside it says none: its order is given one of ours, from the upper end of the
  numbers, where a terminal hardly ever counts to.
- What undoes or changes a transaction has the number of that.
- No number of ours stands for two of the transactions that we know: each is the next one that is free, and a terminal's
  request under one that a till's has is refused by name. What a terminal does with its own numbers is its business: it
  may use one again after a decline.
"""

from posd.core.effects import Refusal
from posd.core.events import TransactionRequested
from posd.core.originals import Refused, root_of
from posd.core.rules import Rules
from posd.core.state import State, Transaction

OURS_FIRST, OURS_COUNT = 900_000, 100_000
"""The numbers that tills' orders are given."""


def number_for(state: State, rules: Rules, event: TransactionRequested, original: Transaction | None) -> int:
    """The invoice number of this request; 0 where the dialect has none."""
    if event.invoice or not rules.has_invoices:
        return event.invoice
    root = root_of(state, rules, original)
    if root is not None and _has_its_originals(rules, event):
        return root.invoice or root.stan  # an older posd gave a till's order the number of its trace
    taken = {txn.invoice for txn in (*state.transactions.values(), *state.closed.values())}
    ours = (OURS_FIRST + (state.stan + step) % OURS_COUNT for step in range(OURS_COUNT))
    return next(number for number in ours if number not in taken)


def refusal(state: State, rules: Rules, event: TransactionRequested) -> Refused | None:
    """Whether a till's transaction has this terminal's number; what refers to one may say it."""
    refers = event.original is not None and event.original.invoice is not None
    if event.invoice < OURS_FIRST or refers:
        return None
    every = (*state.transactions.values(), *state.closed.values())
    if any(txn.invoice == event.invoice and not txn.terminal_stan for txn in every):  # only a till's has no such trace
        return Refusal.NUMBER_TAKEN, "a till's transaction has this invoice number; go on with the next one"
    return None


def _has_its_originals(rules: Rules, event: TransactionRequested) -> bool:
    kind = rules.kinds[event.kind]
    return kind.takes_back or kind.replaces
