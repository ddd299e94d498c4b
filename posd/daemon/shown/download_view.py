"""What is told of the host's parameters: those that it told, and why they could not be had; and the watching of one
download that a person wants (`posd terminal download`).

It only looks: nothing here asks the host, and a download goes on when nobody watches.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from posd.core.management import MANAGE
from posd.core.state import DownloadFailure, State
from posd.daemon.control.server import Reply
from posd.daemon.shown.views import Around, View

HEARTBEAT_S = 10.0
"""A line at least so often, so that a client knows that posd still lives."""


def parameters_view(state: State, around: Around) -> View:
    """What the host told last; empty: nothing yet."""
    return {"told_at": around.when(state.parameters_at_ms), **state.parameters} if state.parameters else {}


def failure_view(state: State, around: Around) -> View | None:
    """Why the host's parameters, or our status, are still owed; None: they are not."""
    failed = state.download_failed
    if failed is None:
        return None
    not_before_s = around.agenda.not_before_s.get(MANAGE)
    wait_ms = max(0, round(((not_before_s or 0) - around.now.monotonic_s) * 1000))
    return {
        "because": failed.because,
        "at": around.when(failed.at_ms),
        "times": failed.times,
        "next_try_at": None if not_before_s is None else around.when(around.now.wall_ms + wait_ms),
    }


async def watch_download(
    before: State, look: Callable[[], tuple[State, Around]], changed: Callable[[], Awaitable[None]]
) -> AsyncIterator[Reply]:
    """A line now and then while the host is asked; then the result. `before`: the state before the command."""
    while (over := _ended(before.download_failed, *look())) is None:
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await changed()
        except TimeoutError:
            yield Reply("progress", {"tid": before.tid, "still": True})
    yield Reply("result", over)


def _ended(before: DownloadFailure | None, state: State, around: Around) -> View | None:
    """What came of it; None: the host is being asked."""
    failed = state.download_failed
    if around.rules.download not in state.wanted:
        told = parameters_view(state, around)
        return _result(state, "done", "the host has answered", told)
    if failed is not None and failed != before:
        return _result(state, "failed", f"{failed.because}; posd asks again", {}, failure_view(state, around))
    if state.exchange is not None and not around.fenced:
        return None
    return _result(state, "waits", f"{_in_the_way(state, around)}; the host is asked as soon as that is over", {})


def _in_the_way(state: State, around: Around) -> str:
    if around.fenced:
        return f"the terminal is fenced: {around.fenced}"
    if not around.link_up:
        return f"the line to the host is down{': ' if around.link_why else ''}{around.link_why}"
    if not state.session.signed_in:
        return f"the terminal is not signed in: {state.session.out_because}"
    return "something else is done first: a settlement, or what is owed"


def _result(state: State, outcome: str, text: str, told: View, failed: View | None = None) -> View:
    return {
        "tid": state.tid,
        "outcome": outcome,
        "good": outcome == "done",
        "text": text,
        "parameters": told,
        "failed": failed,
    }
