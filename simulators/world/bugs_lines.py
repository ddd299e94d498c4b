"""Planted bugs of the routes and their links: what is sent twice, too late, or called unsent when it was not (D2)."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from posd.core import engine
from posd.core import events as e
from posd.daemon.links.host_link import HostLink
from posd.daemon.links.one_shot import OneShotLink
from posd.daemon.links.routes import Routes
from simulators.world.line import BODY_AT
from simulators.world.network import Mode, Roads
from simulators.world.plan import Plan
from simulators.world.planting import patched

REVERSAL = b"\x04\x00"


def by(*modes: Mode) -> Callable[[Plan], Plan]:
    """These routes, whatever was drawn; the first is left at the first silence."""
    return lambda plan: replace(plan, roads=Roads(modes, silent_limits=1))


def reversal_by_both_routes() -> AbstractContextManager[None]:
    """A reversal goes by every route: one of them will be good."""
    send = Routes.send

    def both(routes: Routes, token: str, frame: bytes, deadline_s: float) -> bool:
        taken = send(routes, token, frame, deadline_s)
        if frame[BODY_AT : BODY_AT + 2] == REVERSAL:
            for place, route in enumerate(routes._routes):
                if place != routes._active:
                    route.link.send(token, frame, deadline_s)
        return taken

    return patched(Routes, "send", both)


def lost_is_not_sent() -> AbstractContextManager[None]:
    """A connection that ends without an answer is taken for one that never was."""
    take = engine._take

    def mistake(draft: Any, event: e.Event) -> None:
        take(draft, e.NeverLeft(event.token, event.why) if isinstance(event, e.ExchangeLost) else event)

    return patched(engine, "_take", mistake)


def withdrawn_too_late() -> AbstractContextManager[None]:
    """A frame that is with the kernel is called withdrawn, because nobody has answered it."""
    withdraw = OneShotLink.withdraw

    def believe(link: OneShotLink, token: str) -> bool:
        waited_for = token in link._open and not link._open[token].answered
        return withdraw(link, token) or waited_for

    return patched(OneShotLink, "withdraw", believe)


def silent_route_keeps_trying() -> AbstractContextManager[None]:
    """A route that is left is kept to hear late answers, also while its kernel still tries to deliver."""
    return patched(HostLink, "quiet", True)


def late_connection_keeps_trying() -> AbstractContextManager[None]:
    """A connection for one message is kept to hear a late answer, whether the host's side has confirmed it or not."""

    def listen(link: OneShotLink, exchange: Any) -> bool:
        exchange.over = True
        link._disarm(exchange)
        if exchange.channel is None:
            return link._drop(exchange)
        link._listen_on(exchange, exchange.channel)
        return False

    return patched(OneShotLink, "_let_go", listen)
