"""What a person may see of a decision that waits for a second person: who said what, about how much, what is missing.

Pure; it decides nothing.
"""

from posd.core import proposals
from posd.core.draft import Draft
from posd.core.fold.proposals import key_of
from posd.core.proposed import Proposal
from posd.core.state import State, Transaction
from posd.daemon.shown import words
from posd.daemon.shown.views import Around, View, transaction_view
from posd.values import RequestId, format_amount


def proposal_views(state: State, around: Around) -> list[View]:
    """Every one of a terminal that has not ended, oldest first."""
    standing = [one for one in state.proposals.values() if one.ends_at_ms > around.now.wall_ms]
    return [_view(one, state, around) for one in sorted(standing, key=lambda one: one.at_ms)]


def proposal_about(of: RequestId, state: State, around: Around) -> View | None:
    """The one about this request."""
    return next((view for view in proposal_views(state, around) if view["id"] == of), None)


def transaction_shown(txn: Transaction, state: State, around: Around) -> View:
    """One transaction, with what waits for a second person to say of it."""
    return {**transaction_view(txn, state, around), "proposal": proposal_about(txn.request_id, state, around)}


def proposal_id(tid: str, about: RequestId | None) -> str:
    """How a person names it: by its request, or TID/settlement."""
    return about if about is not None else f"{tid}/{key_of(None)}"


def _said_by(one: Proposal) -> str:
    """The name that was typed, and the user who typed it."""
    return one.by if one.who is None or one.who.name == one.by else f"{one.by} ({one.who.name})"


def _view(one: Proposal, state: State, around: Around) -> View:
    now_minor = proposals.at_stake(Draft(around.rules, state, around.agenda, around.now), one.deed, one.about)
    return {
        "id": proposal_id(state.tid, one.about),
        "tid": state.tid,
        "deed": one.deed.value,
        "choice": one.choice,
        "text": words.DEED[one.deed].format(choice=one.choice),
        "amount": format_amount(one.amount_minor),
        "amount_minor": one.amount_minor,
        "up_to": format_amount(one.ceiling_minor),
        "up_to_minor": one.ceiling_minor,
        "at_stake": format_amount(now_minor),
        "at_stake_minor": now_minor,
        "outgrown": now_minor > one.ceiling_minor,
        "by": one.by,
        "who": str(one.who) if one.who is not None else "",
        "said_by": _said_by(one),
        "reason": one.reason,
        "at": around.when(one.at_ms),
        "ends_at": around.when(one.ends_at_ms),
        "to_do": words.SECOND[one.deed].format(tid=state.tid, id=one.about, choice=one.choice),
    }
