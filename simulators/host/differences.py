"""One record of an upload against the ledger: what is different, item by item (reference 1.7, host side).

Values only; settlement.py decides what is compared. A card number shows as first six and last four.
"""

from dataclasses import dataclass
from typing import Literal

from simulators.fields import UploadRecord, mask_pan

Kind = Literal["amount", "card", "class", "extra", "missing", "declined"]


@dataclass(frozen=True, slots=True, repr=False)
class Difference:
    """An item that does not agree. `ours` is None for one that only the terminal has, `theirs` for a missing one;
    `code` is why we declined it."""

    kind: Kind
    stan: int
    ours: UploadRecord | None
    theirs: UploadRecord | None
    code: str = ""

    def dump(self) -> dict[str, object]:
        """JSON-ready: amounts in minor units, classes 00 domestic and 01 foreign."""
        return {"stan": self.stan, "kind": self.kind, "ours": _shown(self.ours), "uploaded": _shown(self.theirs)}

    def __str__(self) -> str:
        match self.kind, self.ours, self.theirs:
            case "amount", UploadRecord() as ours, UploadRecord() as theirs:
                what = f"amount {theirs.amount_minor}, ours {ours.amount_minor}"
            case "class", UploadRecord() as ours, UploadRecord() as theirs:
                what = f"class {theirs.card_class}, ours {ours.card_class}"
            case "card", _, _:
                what = "another card"
            case "declined", _, _:
                what = f"declined here with {self.code}"
            case "extra", _, _:
                what = "not in our books"
            case _:
                what = "not uploaded"
        return f"STAN {self.stan}: {what}"


def difference(ours: UploadRecord | None, theirs: UploadRecord) -> Difference | None:
    """What is wrong with an uploaded record; `ours` is None when the ledger has no money under its trace."""
    if ours is None:
        return Difference("extra", theirs.stan, None, theirs)
    if ours == theirs:
        return None
    kind: Kind = "class"
    if ours.amount_minor != theirs.amount_minor:
        kind = "amount"
    elif ours.pan != theirs.pan:
        kind = "card"
    return Difference(kind, theirs.stan, ours, theirs)


def declined(code: str, theirs: UploadRecord) -> Difference:
    """An uploaded record of what we declined, with this code (1.9: it is uploaded all the same)."""
    return Difference("declined", theirs.stan, None, theirs, code)


def missing(ours: UploadRecord) -> Difference:
    """A record of ours that should have been uploaded and was not."""
    return Difference("missing", ours.stan, ours, None)


def _shown(record: UploadRecord | None) -> dict[str, object] | None:
    if record is None:
        return None
    return {"amount": record.amount_minor, "card": mask_pan(record.pan), "class": record.card_class}
