"""The dialects of `written.py`: how their terminals ask, and with which keys."""

import json
from pathlib import Path
from typing import Any

from posd.core.rules import TxnKind
from posd.core.state import Session
from posd.iso8583.message import Message
from posd.profiles.contract import Terminal
from posd.profiles.unionpay.data import MATRIX
from posd.profiles.unionpay.profile import Knobs, UnionPay
from posd.security.cards import CardData
from posd.security.keys import Tmk
from posd.values import Tid
from tests.interop.written import Dialect

VECTORS = Path(__file__).parents[2] / "posd" / "vectors"


def rows(dialect: str) -> list[dict[str, Any]]:
    """The golden messages of every file of a dialect."""
    files = sorted(VECTORS.glob(f"{dialect}*.json"))
    return [row for file in files for row in json.loads(file.read_text(encoding="utf-8"))["messages"]]


UNIONPAY_ROWS, NAC_ROWS = rows("unionpay"), rows("nac")
KEYS = next(row["fields"]["62"] for row in UNIONPAY_ROWS if row["name"] == "B2")

TERMINAL = Terminal(
    Tid("10000001"), "898100012345678", Tmk(bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")), mac_required=False
)


def of_card(card: CardData) -> dict[int, str]:
    """The fields that a terminal fills from a card, in either dialect."""
    fields = {
        2: card.pan,
        14: card.expiry,
        22: card.entry_mode,
        23: card.sequence,
        26: "12" if card.pin_block else None,
        35: card.track2,
        36: card.track3,
        52: card.pin_block,
        53: "2600000000000000" if card.pin_block else None,
        55: card.icc,
    }
    return {number: value for number, value in fields.items() if value is not None}


def unionpay_request(kind: TxnKind, card: CardData) -> Message:
    """Every field of its row; what is conditional, where the card has it."""
    row = MATRIX[kind]
    fields = {
        **of_card(card),
        **{3: row.processing_code, 4: "000000012345", 11: "000777", 25: row.condition_code},
        **{37: "112200000124", 38: "654321", 49: "156", 59: "A2010", 61: "0000080001241122"},
        **{41: TERMINAL.tid, 42: TERMINAL.mid, 48: "1234567", 60: f"{row.type_code}000999000500", 62: "3130"},
    }
    return Message(row.mti, fields)


def unionpay() -> Dialect:
    return Dialect(
        name="unionpay",
        moov="unionpay",
        profile=UnionPay(Knobs()),
        terminal=TERMINAL,
        session=Session(signed_in=True, wrapped_keys=KEYS, generation=1, out_because=""),
        request=unionpay_request,
        options=lambda _: "000500|112200000124|654321|1122",
    )


DIALECTS = {"unionpay": unionpay()}
