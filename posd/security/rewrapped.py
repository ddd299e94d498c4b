"""What became of wrapped secrets that were wrapped anew, in a rotation of the machine key."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """`done`: so many were. `unreadable`: files that open under neither key: they were lost before, and stay as they
    are."""

    done: int = 0
    unreadable: tuple[str, ...] = ()

    def __add__(self, other: "Rewrapped") -> "Rewrapped":
        return Rewrapped(self.done + other.done, self.unreadable + other.unreadable)
