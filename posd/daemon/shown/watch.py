"""Watching settlements until each batch is closed or cannot go on now: what `posd settle` shows.

It only looks: nothing here begins, hurries or cancels anything, and a settlement goes on when nobody watches.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from posd.core.effects import CommandDone
from posd.core.state import CloseOutcome, SettlementPhase, State
from posd.daemon.control.server import Reply
from posd.daemon.shown import words
from posd.daemon.shown.terminal_view import blockers, close_view, settlement_view
from posd.daemon.shown.views import Around, View
from posd.daemon.tasks import end, spawn

HEARTBEAT_S = 10.0
"""A line at least so often, so that a client knows that posd still lives; shorter than its patience."""

GOOD_CLOSES = frozenset({CloseOutcome.AGREED, CloseOutcome.EMPTY})


@dataclass(frozen=True, slots=True)
class Watched:
    """One terminal's settlement. `before`: its state before the command; `done`: what the lane said to it.

    `look` gives the adopted state of now with what is around it; `changed` returns after the next step.
    """

    before: State
    done: CommandDone
    look: Callable[[], tuple[State, Around]]
    changed: Callable[[], Awaitable[None]]


async def watch(watched: Sequence[Watched]) -> AsyncIterator[Reply]:
    """A progress line for each change of each terminal, at last one result: `good` and what became of each."""
    lines: asyncio.Queue[View | None] = asyncio.Queue()
    ended: dict[str, View] = {}

    async def follow(one: Watched) -> None:
        ended[one.before.tid] = await _follow(one, lines.put_nowait)
        lines.put_nowait(None)

    followers = [spawn(follow(one), f"watching the settlement of {one.before.tid}") for one in watched]
    try:
        while len(ended) < len(watched) or not lines.empty():
            line = await lines.get()
            if line is not None:
                yield Reply("progress", line)
    finally:
        for follower in followers:
            await end(follower)
    terminals = [ended[one.before.tid] for one in watched]
    yield Reply("result", {"good": all(terminal["good"] for terminal in terminals), "terminals": terminals})


async def _follow(one: Watched, say: Callable[[View], None]) -> View:
    """Until the end; gives what became of it."""
    told: View | None = None
    while True:
        state, around = one.look()
        over = _ended(one, state, around)
        if over is not None:
            return over
        line = _progress(state, around)
        if line != told:
            say(line)
        told = line
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await one.changed()
        except TimeoutError:
            say({**line, "still": True})


def _progress(state: State, around: Around) -> View:
    closing = settlement_view(state, around)
    doing = state.exchange.kind if state.exchange else None
    return {
        "tid": state.tid,
        "phase": closing["phase"],
        "doing": doing.value if doing else None,
        "text": words.DOING[doing] if doing else closing["text"],
        "items": closing["items"],
        "uploaded": closing["uploaded"],
        "still": False,
    }


def _ended(one: Watched, state: State, around: Around) -> View | None:
    """What became of it, if there is nothing more to watch now; None: the host is being asked."""
    if state.batch.identity != one.before.batch.identity:
        return _closed(state, around)
    if around.fenced:
        return _stopped(state, "fenced", around.fenced)
    if not one.done.ok and one.before.settlement.phase is SettlementPhase.OPEN:
        closing = settlement_view(state, around)
        outcome = "nothing" if closing["nothing_to_settle"] else "waits" if closing["held"] else "refused"
        return _stopped(state, outcome, one.done.text)
    if state.exchange is not None:
        return None
    # at rest: the engine does whatever it can before it rests, so something is in the way
    held = state.settlement.phase in (SettlementPhase.DRAINING, SettlementPhase.UNCONFIRMED)
    why = "; ".join(blocker["text"] for blocker in blockers(state, around))
    return _stopped(state, "held" if held else "postponed", why or "posd waits a while before it tries again")


def _closed(state: State, around: Around) -> View:
    close = state.last_close
    assert close is not None, "a batch ends with a close"
    return {
        "tid": state.tid,
        "outcome": "closed",
        "good": close.outcome in GOOD_CLOSES,
        "reason": "",
        "close": close_view(close, around),
        "next_batch": state.batch.number,
    }


def _stopped(state: State, outcome: str, reason: str) -> View:
    return {
        "tid": state.tid,
        "outcome": outcome,
        "good": outcome == "nothing",
        "reason": reason,
        "close": None,
        "next_batch": None,
    }
