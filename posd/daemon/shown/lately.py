"""What was alerted lately about one terminal, counted: for those who look now and did not read the log.

In memory only, from the start of posd on: an alert itself is in the log, and the facts behind it are in the journal. It
is bounded, decides nothing, and holds names and times only.
"""

from dataclasses import dataclass, replace

ALERTS_REMEMBERED = 64
"""Different names; the one that was silent longest gives way."""


@dataclass(frozen=True, slots=True)
class Alerted:
    """One kind of alert: how often, and when first and last, in milliseconds since 1970 UTC.

    `request_id`: the newest request that it was about; empty where it was about none.
    """

    event: str
    count: int
    first_ms: int
    last_ms: int
    request_id: str = ""


class Lately:
    """The alerts of one terminal since the start, by their names."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, Alerted] = {}

    def note(self, event: str, at_ms: int, request_id: str = "") -> None:
        """One more."""
        known = self._known.pop(event, None)
        if known is None:
            known = Alerted(event, 0, at_ms, at_ms)
        self._known[event] = replace(known, count=known.count + 1, last_ms=at_ms, request_id=request_id)
        if len(self._known) > ALERTS_REMEMBERED:
            del self._known[next(iter(self._known))]

    def all(self) -> tuple[Alerted, ...]:
        """The newest last."""
        return tuple(self._known.values())
