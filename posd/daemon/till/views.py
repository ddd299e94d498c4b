"""What a till sees: the views of views.py in the shapes of till_schema, with a till's own names."""

from posd.core import state as st
from posd.core.originals import root_of
from posd.daemon.shown.questions import Seen
from posd.daemon.shown.terminal_view import terminal_view
from posd.daemon.shown.views import Around, View, transaction_view
from posd.daemon.till.ids import till_id
from posd.daemon.till.schema import Health, TerminalHealth, Transaction
from posd.values import RequestId, Tid


def transaction(txn: st.Transaction, state: st.State, around: Around) -> Transaction:
    """One transaction; the words are those of the command line."""
    return from_view(transaction_view(txn, state, around), txn, state, around)


def from_view(view: View, txn: st.Transaction, state: st.State, around: Around) -> Transaction:
    """The same, of its view."""
    return Transaction(
        id=till_id(state.tid, txn.request_id),
        original=_original(txn, state, around),
        replaced_by=till_id(state.tid, txn.replaced_by) if txn.replaced_by is not None else None,
        confirm_by=_confirm_by(txn.request_id, around),
        **{name: view[name] for name in SAME},
    )


def _original(txn: st.Transaction, state: st.State, around: Around) -> str | None:
    """As the till named it: a tip on a tip, and a void of both, are of the sale."""
    if txn.original is None:
        return None
    first = root_of(state, around.rules, state.find(txn.original))
    return till_id(state.tid, first.request_id if first is not None else txn.original)


SAME = (
    *("request_id", "tid", "kind", "status", "text", "amount", "amount_minor", "card", "at", "batch", "stan", "rrn"),
    *("reference", "tip", "approval_code", "code", "meaning", "approved_minor", "reversal"),
)
"""What is taken over as it is."""


def _confirm_by(request_id: RequestId, around: Around) -> str | None:
    """When its time is over (D16); None: nothing has to be confirmed."""
    until_s = around.agenda.confirm_until_s.get(request_id)
    if until_s is None:
        return None
    return around.when(around.now.wall_ms + round((until_s - around.now.monotonic_s) * 1000))


def health(everything: dict[Tid, Seen], status: View) -> Health:
    """`status` is the answer to the question of that name."""
    posd = status["posd"]
    return Health(
        good=status["good"],
        version=posd["version"],
        up_s=posd["up_s"],
        link_up=posd["link_up"],
        link_why=posd["link_why"],
        terminals=[_terminal(seen) for seen in everything.values() if seen.state is not None],
        findings=status["findings"],
    )


def _terminal(seen: Seen) -> TerminalHealth:
    assert seen.state is not None
    view = terminal_view(seen.state, seen.around)
    return TerminalHealth(
        tid=seen.state.tid,
        signed_in=seen.state.session.signed_in,
        fenced=seen.around.fenced,
        reversals_owed=len(seen.state.unended_reversals()),
        refunds_in_doubt=len(view["refunds_in_doubt"]),
    )
