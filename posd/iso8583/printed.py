"""What an answer says to people: institutions (field 44), balances (54) and remarks (63) (reference 1.2, 1.5).

Total: any text gives something. Each part may be cut short; bytes that are no GBK, and characters that a screen would
obey, become something harmless. It must never show a whole card number.
"""

import re
from dataclasses import dataclass

from posd.iso8583.masking import mask_long_numbers

INSTITUTION_CHARS = 11
REMARK_BYTES = 20
REMARKS = ("issuer", "centre", "acquirer")
"""The parts of field 63 behind the scheme, 20 bytes each; what follows them is for the terminal's slip."""

_BALANCE = re.compile(
    r"(?P<account>[0-9A-Z]{2})(?P<kind>[0-9A-Z]{2})(?P<currency>[0-9A-Z]{3})(?P<sign>[CD])(?P<minor>\d{12})"
)
_CURRENCIES = {"156": "CNY"}
_KINDS = {"01": "ledger", "02": "available"}


@dataclass(frozen=True, slots=True)
class Balance:
    """One balance: `kind` ledger, available or its code; `minor` in minor units, below zero for a debt."""

    kind: str
    currency: str
    minor: int


def institutions(text: str | None) -> tuple[str, str]:
    """Issuer and acquirer of field 44, each as far as it was told."""
    shown = mask_long_numbers(text or "")
    return _clean(shown[:INSTITUTION_CHARS]), _clean(shown[INSTITUTION_CHARS : 2 * INSTITUTION_CHARS])


def balances(text: str | None) -> tuple[Balance, ...]:
    """The balances of field 54; what has another shape is left out."""
    return tuple(
        Balance(
            _KINDS.get(found["kind"], found["kind"]),
            _CURRENCIES.get(found["currency"], found["currency"]),
            -int(found["minor"]) if found["sign"] == "D" else int(found["minor"]),
        )
        for found in _BALANCE.finditer(text or "")
    )


def remarks(text: str | None) -> dict[str, str]:
    """Field 63 behind its scheme (latin-1, a character a byte): issuer, centre, acquirer, terminal, as far as told."""
    raw = mask_long_numbers(text or "").encode("latin-1", "replace")  # before it is cut: no number hides across parts
    parts = {name: raw[at * REMARK_BYTES :][:REMARK_BYTES] for at, name in enumerate(REMARKS)}
    parts["terminal"] = raw[len(REMARKS) * REMARK_BYTES :]
    said = {name: _clean(part.decode("gbk", "replace")) for name, part in parts.items()}
    return {name: remark for name, remark in said.items() if remark}


def _clean(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text).strip()
