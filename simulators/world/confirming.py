"""The witness of confirmations (D16): what a till still has to confirm, by the journal's own words, at every moment.

An approval that has to be confirmed is confirmed by the till alone: by its word, or by naming the approval in another
order. It has its whole time for that, again after each restart, and not longer; and no totals leave meanwhile.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass, field

from posd.journal.contract import RecordRow
from simulators.world.stage import Stage

KINDS = frozenset({"authorisation_started", "advice_stored", "approved", "answer_handed_over", "reversal_owed"})
LATE_MS = 2_000
ROUNDING_MS = 2


@dataclass(slots=True)
class Confirming:
    """`within_s`: how long a till may take, 0: it need not. `said`: what tills ever tried to confirm."""

    stage: Stage
    within_s: float = 0.0
    said: set[str] = field(default_factory=set)
    _named: set[str] = field(default_factory=set)
    _wanted: set[str] = field(default_factory=set)
    _open: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Request id -> (TID, when it was approved)."""
    _booted_ms: int = 0
    _confirmed: list[str] = field(default_factory=list)

    def booted(self) -> None:
        """posd is there again: each till has its whole time once more."""
        self._booted_ms = self.stage.now_ms

    def forgotten(self, requests: Collection[str]) -> None:
        """An older journal was restored: it does not know that these were approved, and waits for nobody's word."""
        for of in requests:
            self._open.pop(of, None)

    def durable(self, row: RecordRow) -> None:
        """This record is in the store."""
        of = row.request_id
        if row.kind not in KINDS or of is None:
            return
        match row.kind:
            case "authorisation_started" | "advice_stored":
                self._begins(of, row.payload)
            case "approved" if of in self._wanted:
                self._open[of] = (row.tid, self.stage.now_ms)
            case "answer_handed_over" if of in self._wanted:
                self._open.pop(of, None)
                self._confirmed.append(of)
            case "reversal_owed":
                self._reversed(of, json.loads(row.payload)["why"])
            case _:
                pass

    def committed(self) -> None:
        """That was the whole commit: the order that names an approval stands after what it confirms."""
        for of in self._confirmed:
            if of not in self.said and of not in self._named:
                self.stage.violate(f"{of} counts as confirmed, and its till never said so (D16)")
        self._confirmed.clear()

    def _begins(self, of: str, payload: str) -> None:
        said = json.loads(payload)
        if said.get("confirm"):
            self._wanted.add(of)
        if said["original"] is not None:
            self._named.add(said["original"])

    def _reversed(self, of: str, why: str) -> None:
        _, approved_ms = self._open.pop(of, ("", 0))
        if why != "not_confirmed":
            return
        took_ms = self.stage.now_ms - max(approved_ms, self._booted_ms)
        self.stage.count("till: not confirmed in time")
        if took_ms < round(self.within_s * 1000) - ROUNDING_MS:
            self.stage.violate(f"{of} was reversed after {took_ms} ms, before its till had to confirm it (D16)")
        if took_ms > round(self.within_s * 1000) + LATE_MS:
            self.stage.violate(f"{of} was reversed {took_ms} ms after its approval, long after its time (D16)")

    def totals_leave(self, tid: str) -> None:
        """The totals of a batch are handed to the line."""
        waiting = [of for of, (whose, _) in self._open.items() if whose == tid]
        if waiting:
            self.stage.violate(f"the totals left, and {waiting} still had to be confirmed (D16)")
