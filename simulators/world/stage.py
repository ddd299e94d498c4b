"""The stage that everything else stands on: one clock, one source of chance, one list of what is to happen next.

Time is a number that jumps from one occasion to the next; nothing here waits, and nothing happens at once. The same
seed plays the same play.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from heapq import heappop, heappush
from random import Random

from simulators.world.faults import Faults

HOST_ZONE_MS = 8 * 3_600_000
EVENTS_MAX = 400_000
"""More than this in one run is a storm, and a violation."""


@dataclass(slots=True)
class Stage:
    """`now_ms`: the true time, milliseconds since 1970 UTC. `transcript` is kept only when `traced`."""

    seed: int
    faults: Faults
    now_ms: int
    traced: bool = False
    violations: list[str] = field(default_factory=list)
    transcript: list[str] = field(default_factory=list)
    stats: dict[str, int] = field(default_factory=dict)
    random: Random = field(init=False)
    _agenda: list[tuple[int, int, Callable[[], None]]] = field(default_factory=list)
    _planned: int = 0
    _lived: int = 0

    def __post_init__(self) -> None:
        self.random = Random(f"world {self.seed}")

    def after(self, delay_s: float, what: Callable[[], None]) -> None:
        """`what` happens so many seconds from now; what is planned first happens first."""
        self._planned += 1
        heappush(self._agenda, (self.now_ms + max(0, round(delay_s * 1000)), self._planned, what))

    def run_until(self, end_ms: int) -> None:
        """Live until that moment, or until the first violation."""
        while self._agenda and self._agenda[0][0] <= end_ms and not self.violations:
            at_ms, _, what = heappop(self._agenda)
            self.now_ms = max(self.now_ms, at_ms)
            self._lived += 1
            if self._lived > EVENTS_MAX:
                self.violate(f"no rest after {EVENTS_MAX} events")
                return
            what()
        if not self.violations:
            self.now_ms = max(self.now_ms, end_ms)

    def chance(self, probability: float) -> bool:
        """Whether it happens this time. No chance, no draw: a fault that is off does not shift the others."""
        return probability > 0.0 and self.random.random() < probability

    def violate(self, what: str) -> None:
        """A promise was broken: the run ends here."""
        self.violations.append(what)
        self.say("world", f"VIOLATION: {what}")

    def count(self, what: str, times: int = 1) -> None:
        self.stats[what] = self.stats.get(what, 0) + times

    def say(self, who: str, what: str) -> None:
        """A line of the transcript, with the host's local time."""
        if self.traced:
            moment = datetime.fromtimestamp((self.now_ms + HOST_ZONE_MS) / 1000, tz=UTC)
            self.transcript.append(f"{moment:%m-%d %H:%M:%S.%f}"[:-3] + f"  {who:<10} {what}")
