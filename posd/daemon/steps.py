"""What goes into a lane and what comes out: items of its inbox, and steps, each of which is first made durable."""

from msgspec import Struct

from posd.core import effects as fx
from posd.core import events as e
from posd.core.draft import Draft
from posd.daemon.till.orders import FromTill
from posd.journal.contract import Row
from posd.profiles.contract import Arrived, Outgoing
from posd.values import Quiet


class FromHost(Struct, frozen=True):
    """A frame of the host for this terminal."""

    arrived: Arrived


class FromTerminal(Struct, frozen=True):
    """A frame of the terminal; `reply_to` is the door's name for it."""

    arrived: Arrived
    reply_to: str
    received_s: float


class Happened(Struct, frozen=True):
    """Anything that is an event already."""

    event: e.Event


Item = FromHost | FromTerminal | FromTill | Happened


class Step(Quiet, frozen=True):
    """One decision: rows to make durable, then what leaves, then the effects.

    `rows` empty: nothing leaves either, but the station's refusals, and answers to echoes, that are not kept any more
    (D32).
    """

    rows: tuple[Row, ...]
    effects: tuple[fx.Effect, ...] = ()
    to_host: tuple[fx.ToHost, Outgoing] | None = None
    to_terminal: tuple[tuple[fx.ToTerminal, Outgoing], ...] = ()
    draft: Draft | None = None
