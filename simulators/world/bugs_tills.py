"""Planted bugs of the JSON door: keys (D6) and confirmations (D16)."""

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from msgspec import structs

from posd.core import advices, confirmations, settlement
from posd.core.answers import AnswerFacts
from posd.core.effects import Result, ToTerminal
from posd.core.events import Event, TillConfirmed
from posd.core.state import TxnStatus
from posd.daemon.lane import Lane
from posd.daemon.till.orders import FromTill
from posd.profiles.contract import Order, Profile
from posd.values import Now, RequestId
from simulators.world.plan import Plan
from simulators.world.planting import patched


def with_tills(plan: Plan) -> Plan:
    """Tills that have to confirm, whatever was drawn."""
    return replace(plan, orders=8, rules={**plan.rules, "confirm_within_s": 60.0})


def with_slow_tills(plan: Plan) -> Plan:
    """They have so long to confirm that the day's end comes before it."""
    return replace(plan, orders=8, rules={**plan.rules, "confirm_within_s": 7200.0})


def confirmed_after_all() -> AbstractContextManager[None]:
    """A confirmation is believed also when the reversal is owed already."""
    confirmed = confirmations.confirmed

    def believe(draft: Any, event: TillConfirmed) -> None:
        txn = draft.state.find(event.request_id)
        if txn is not None and txn.status in (TxnStatus.UNKNOWN, TxnStatus.REVERSED):
            draft.answer(ToTerminal(event.reply_to, Result(AnswerFacts("00"), txn.request_id)))
        else:
            confirmed(draft, event)

    return patched(confirmations, "confirmed", believe)


def till_key_forgotten_at_restart() -> AbstractContextManager[None]:
    """A till's keys live in memory: after a restart the same key is a new order."""
    till_event = Lane._till_event
    first: dict[tuple[int, RequestId], tuple[Profile, Lane]] = {}

    def forget(lane: Lane, item: FromTill, now: Now) -> Event:
        wish = item.wish
        if isinstance(wish, Order):
            _, seen_by = first.setdefault((id(lane.profile), wish.request_id), (lane.profile, lane))
            if seen_by is not lane:
                wish = structs.replace(wish, request_id=RequestId(f"{wish.request_id}.again"))
        return till_event(lane, replace(item, wish=wish), now)

    return patched(Lane, "_till_event", forget)


def totals_wait_for_nobody() -> AbstractContextManager[None]:
    """The totals leave although a till may still confirm, or not."""
    return patched(settlement, "drained", settlement.delivered)


def tip_confirms_nothing() -> AbstractContextManager[None]:
    """A till that adds a tip to a sale has not said that it has the sale."""
    store = advices.store

    def careless(draft: Any, event: Any, original: Any) -> None:
        with patched(confirmations, "by_word", lambda *anything: None):
            store(draft, event, original)

    return patched(advices, "store", careless)


def silence_confirms() -> AbstractContextManager[None]:
    """What was not confirmed in time counts as confirmed."""
    expire = confirmations.expire

    def confirm(draft: Any) -> None:
        for txn in confirmations.still_open(draft.state):
            until_s = draft.agenda.confirm_until_s.get(txn.request_id, draft.now.monotonic_s)
            if until_s <= draft.now.monotonic_s:
                confirmations.by_word(draft, txn)
        expire(draft)

    return patched(confirmations, "expire", confirm)
