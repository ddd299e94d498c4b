"""When a run's journal is lost: drawn from the seed. Values only; what follows from it is in loss.py."""

from dataclasses import dataclass
from random import Random
from typing import Self

CHANCE = 0.2
"""Of the runs, those in which a journal is lost."""
BACKED_UP_S, LOST_S = (3_600.0, 18 * 3_600.0), (60.0, 10 * 3_600.0)
"""The first after the morning, the second after the backup."""


@dataclass(frozen=True, slots=True)
class Lost:
    """When the backup is made, and how long after it the machine is lost; seconds."""

    backed_up_s: float
    lost_s: float

    @classmethod
    def drawn(cls, random: Random) -> Self:
        return cls(random.uniform(*BACKED_UP_S), random.uniform(*LOST_S))
