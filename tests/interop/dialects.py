"""The dialects of `written.py`: how their terminals ask, and with which keys."""

import json
from pathlib import Path
from typing import Any

from posd.core import effects as fx
from posd.core.rules import TxnKind
from posd.core.state import Session
from posd.iso8583.message import Message
from posd.profiles.contract import Terminal
from posd.profiles.nac import data as nac_data
from posd.profiles.nac import knobs as nac_knobs
from posd.profiles.nac.kept import Kept
from posd.profiles.nac.profile import Nac
from posd.profiles.unionpay.data import MATRIX
from posd.profiles.unionpay.profile import Knobs, UnionPay
from posd.security.cards import CardData
from posd.security.keys import ClearTmk
from posd.values import Stan, Tid
from tests.interop.written import BATCH, Dialect

VECTORS = Path(__file__).parents[2] / "posd" / "vectors"


def rows(dialect: str) -> list[dict[str, Any]]:
    """The golden messages of every file of a dialect."""
    files = sorted(VECTORS.glob(f"{dialect}*.json"))
    return [row for file in files for row in json.loads(file.read_text(encoding="utf-8"))["messages"]]


UNIONPAY_ROWS, NAC_ROWS = rows("unionpay"), rows("nac")
KEYS = next(row["fields"]["62"] for row in UNIONPAY_ROWS if row["name"] == "B2")

TERMINAL = Terminal(
    Tid("10000001"), "898100012345678", ClearTmk(bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")), mac_required=False
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
        managed=(
            fx.SendManagement(Stan(1), BATCH, "0800/360", "", {}),
            fx.SendManagement(Stan(2), BATCH, "0800/370", "9F0605A0000003339F220108", {}),
            fx.SendManagement(Stan(3), BATCH, "0820/362", "", {"timeout_s": "30", "merchant_name": "小店"}),
        ),
        managed_answer="319F0605A000000333",
    )


NAC_ROWS_OF = nac_data.MATRIX


def nac_request(kind: TxnKind, card: CardData) -> Message:
    """Everything that its row passes on, where the card has it; a tip where there may be one."""
    row = NAC_ROWS_OF[kind]
    fields = {
        **of_card(card),
        **{3: f"{row.process}0000", 4: "000000012345", 11: "000777", 24: "001", 25: row.condition},
        **{37: "112200000124", 41: TERMINAL.tid, 42: TERMINAL.mid, 48: "123", 54: "000000000100", 62: "000005"},
        45: "B6225880123456789^TEST/CARD^30122010000012345678",
    }
    return Message(row.mti, fields)


def nac_options(kind: TxnKind) -> str:
    row = NAC_ROWS_OF[kind]
    process = row.process.ljust(6, "0")
    return Kept(process, row.condition, "093000", "1122", "112200000124", "654321").options()


def nac(name: str, wire: str, **knobs: Any) -> Dialect:
    return Dialect(
        name=name,
        moov=wire,
        profile=Nac(nac_knobs.Knobs(**knobs)),
        terminal=TERMINAL,
        session=Session(signed_in=True, out_because=""),
        request=nac_request,
        options=nac_options,
        absent={
            "sign off": "no sign-off",
            "chip detail": "chip",
        },
        managed=(
            fx.SendManagement(Stan(1), BATCH, "930000", "", {}),
            fx.SendManagement(Stan(2), BATCH, "970001", f"60:{b'PART 2'.hex()};62:{b'000001'.hex()}", {}),
        ),
        managed_answer=f"3:{b'930001'.hex()};60:{b'TIMEOUT=30'.hex()}",
    )


AS_ADVICE: dict[str, Any] = {"reversal_mti": "0420", "reversal_repeat_digit": True}

DIALECTS = {
    dialect.name: dialect
    for dialect in (
        unionpay(),
        nac("nac", "nac", times="always", more_follows=True, reversal_repeat_digit=True),
        nac("nac, filled up with F", "nac+fill-f", pad="F", totals_digits=33, reversal_mti="0420"),
        nac("nac, right-justified", "nac+right", pad="right", totals_digits=36, mac_algorithm="x9.19", **AS_ADVICE),
        nac("nac in ASCII", "nac+ascii", ascii_wire=True, totals_digits=30),
    )
}
