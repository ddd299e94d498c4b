"""What is known of one route for those who ask (`posd routes`): counted and measured, never decided upon."""

from dataclasses import dataclass

from posd.daemon.links.route_choice import Health
from posd.security.certificates import Certificate
from posd.values import Now

SMOOTHING = 8
"""A new latency counts for one part in so many, as TCP smooths its round trips (RFC 6298)."""

ERROR_CHARACTERS_MAX = 200


@dataclass(slots=True)
class RouteFacts:
    """Wall times in milliseconds since 1970 UTC, latencies in milliseconds; None: not yet.

    `answer_ms` is smoothed: from handing a message to the line until its terminal was done with the answer.
    """

    since_ms: int
    last_good_ms: int | None = None
    last_heard_ms: int | None = None
    last_error: str = ""
    last_error_ms: int | None = None
    connect_ms: float | None = None
    answer_ms: float | None = None
    connects: int = 0
    refused: int = 0
    ended: int = 0
    silences: int = 0
    sent: int = 0
    frames: int = 0
    certificates: tuple[Certificate, ...] = ()
    """What the host has shown at the newest handshake: its own, then its authorities'."""

    def connected(self, took_s: float, now: Now) -> None:
        """An attempt to connect succeeded."""
        self.connects += 1
        self.connect_ms = took_s * 1000
        self.last_good_ms = now.wall_ms

    def was_refused(self, why: str, now: Now) -> None:
        """An attempt to connect failed."""
        self.refused += 1
        self.error(why, now)

    def has_ended(self, why: str, now: Now) -> None:
        """A connection ended."""
        self.ended += 1
        self.error(why, now)

    def error(self, why: str, now: Now) -> None:
        """The newest thing that went wrong."""
        self.last_error, self.last_error_ms = why[:ERROR_CHARACTERS_MAX], now.wall_ms

    def heard(self, now: Now) -> None:
        """A whole frame came."""
        self.frames += 1
        self.last_good_ms = self.last_heard_ms = now.wall_ms

    def answered(self, took_s: float) -> None:
        """An exchange ended with an answer."""
        took_ms = took_s * 1000
        old_ms = self.answer_ms
        self.answer_ms = took_ms if old_ms is None else old_ms + (took_ms - old_ms) / SMOOTHING


@dataclass(frozen=True, slots=True)
class RouteShown:
    """One route at one moment. `name` is empty for the only, unnamed one; `trusted_in_s`: while it proves itself;
    `verified`: false where TLS was told to speak to anyone.
    """

    name: str
    peer: str
    health: Health
    active: bool
    strikes: int
    trusted_in_s: float | None
    facts: RouteFacts
    verified: bool = True
