"""What is not as it was written, in words."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was written. `sequence`: the row, None when it is no single row."""

    sequence: int | None
    what: str

    def __str__(self) -> str:
        return self.what if self.sequence is None else f"row {self.sequence}: {self.what}"
