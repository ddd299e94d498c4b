"""Card data in memory: what a request brought, masked in every form but its own attributes.

Track data, PIN block and what a chip says of its card live here until the request is sent and never touch a disk
(P5). What may be kept, sealed, are the facts that a reversal or an upload needs: number, expiry, sequence, entry mode,
and the tags of a chip that hold no card data. It must never
show more of a number than the mask of all (masks.py).
"""

import hmac
import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

from posd.errors import KeyTrouble
from posd.masks import PAN_DIGITS_MAX, PAN_DIGITS_MIN, mask_pan
from posd.security.guarded import Guarded, closed
from posd.security.tracks import encrypted_from
from posd.values import CardRef

FACTS_VERSION = 1
PARTS = ("pan", "expiry", "track2", "track3", "sequence", "pin_block", "icc", "entry_mode", "encrypted", "kept_icc")
FACTS = ("pan", "expiry", "sequence", "entry_mode", "kept_icc")


@closed
@dataclass(frozen=True, slots=True, repr=False)
class CardData(Guarded):
    """What one request brought of a card; each part as text of its field, or None where the field was absent.

    `pan` field 2, digits. `expiry` field 14, YYMM. `track2`, `track3` fields 35 and 36 with `=`. `sequence`
    field 23. `pin_block`, `icc` fields 52 and 55, hexadecimal. `entry_mode` field 22, 3 digits. `kept_icc`: what may be
    kept of field 55, hexadecimal: no tag that holds card data. `encrypted`: the tracks came encrypted in
    part (reference 1.12).
    """

    pan: str | None = None
    expiry: str | None = None
    track2: str | None = None
    track3: str | None = None
    sequence: str | None = None
    pin_block: str | None = None
    icc: str | None = None
    entry_mode: str | None = None
    encrypted: bool = False
    kept_icc: str | None = None

    def __repr__(self) -> str:
        number = self.number
        return f"<CardData {mask_pan(number) if number else '***'}>"

    @property
    def number(self) -> str | None:
        """The card number: field 2, else what stands before the separator of track 2, if that is a number.

        None for a track whose encryption has reached the number: what looks like a separator there is none.
        """
        if self.pan is not None:
            return self.pan
        track = self.track2 or ""
        head = track.partition("=")[0]
        if self.encrypted and len(head) >= encrypted_from(track):
            return None
        if PAN_DIGITS_MIN <= len(head) <= PAN_DIGITS_MAX and head.isascii() and head.isdigit():
            return head
        return None

    def reference(self, digest_key: bytes) -> CardRef | None:
        """What the core may hold of this card; None when the request brought no readable number."""
        number = self.number
        return CardRef(mask_pan(number), keyed_digest(digest_key, number)) if number is not None else None

    def facts(self) -> bytes:
        """What a later reversal or upload needs, as canonical JSON to be sealed; nothing else (P5)."""
        values = {
            "pan": self.number,
            "expiry": self.expiry,
            "sequence": self.sequence,
            "entry_mode": self.entry_mode,
            "kept_icc": self.kept_icc,
        }
        kept = {name: value for name, value in values.items() if value is not None}
        return json.dumps({"version": FACTS_VERSION, **kept}, sort_keys=True, separators=(",", ":")).encode("ascii")

    def with_pan(self, pan: str | None) -> Self:
        """The same with another number in the place of field 2."""
        parts = {name: getattr(self, name) for name in PARTS}
        return type(self)(**{**parts, "pan": pan})

    @classmethod
    def from_facts(cls, facts: bytes) -> Self:
        """The card of `facts()` again, less what was never kept. Raises KeyTrouble for anything else."""
        try:
            values = json.loads(facts)
        except ValueError:  # its text could carry a part of the facts
            raise KeyTrouble("sealed card facts: not readable; run: posd journal verify") from None
        if not isinstance(values, dict) or values.pop("version", None) != FACTS_VERSION:
            raise KeyTrouble("sealed card facts: of an unknown version; use the posd that wrote them, or a newer one")
        if not all(name in FACTS and isinstance(value, str) for name, value in values.items()):
            raise KeyTrouble("sealed card facts: unknown parts; use the posd that wrote them, or a newer one")
        return cls(**values)


def keyed_digest(key: bytes, pan: str) -> str:
    """HMAC-SHA256 of the card number under the machine's "digest" key, hexadecimal: equal for equal cards
    (D6).

    Keyed, because a plain digest of a card number is undone by trying every number.
    """
    return hmac.new(key, pan.encode("ascii"), sha256).hexdigest()
