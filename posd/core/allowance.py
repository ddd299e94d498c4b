"""So many a minute, the rest is only counted: what others send for nothing must fill neither disk nor log (D32)."""

from dataclasses import dataclass, field

from posd.values import Now

MINUTE_S = 60.0


@dataclass(slots=True)
class Allowance:
    """Volatile: a restart begins a new minute."""

    per_minute_max: int
    _windows: dict[str, tuple[float, int, int]] = field(default_factory=dict)

    def unsaid(self, what: str, now: Now) -> int | None:
        """How many of these were only counted since the last that was said; None: so is this one."""
        started_s, said, unsaid = self._windows.get(what, (now.monotonic_s, 0, 0))
        if now.monotonic_s - started_s >= MINUTE_S:
            started_s, said = now.monotonic_s, 0
        if said >= self.per_minute_max:
            self._windows[what] = (started_s, said, unsaid + 1)
            return None
        self._windows[what] = (started_s, said + 1, 0)
        return unsaid
