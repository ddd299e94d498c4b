"""Gaps between attempts: growing, jittered, capped. Pure: it neither sleeps nor reads a clock."""

import random


class Backoff:
    """Each gap lies between half and all of a ceiling that doubles from `first_s` up to `max_s` (seconds).

    The jitter keeps a thousand terminals from calling a host in step after it came back.
    """

    def __init__(self, first_s: float, max_s: float, random: random.Random) -> None:
        if not 0 < first_s <= max_s:
            raise ValueError(f"a back-off needs 0 < first_s <= max_s, not {first_s} and {max_s}")
        self._first_s, self.max_s, self._random = first_s, max_s, random
        self._ceiling_s = first_s

    def next(self) -> float:
        """The gap before the next attempt, in seconds."""
        ceiling_s = self._ceiling_s
        self._ceiling_s = min(self.max_s, ceiling_s * 2)
        return self._random.uniform(ceiling_s / 2, ceiling_s)

    def reset(self) -> None:
        """The thing waited for has proved good: begin small again."""
        self._ceiling_s = self._first_s
