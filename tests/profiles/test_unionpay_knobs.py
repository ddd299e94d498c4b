"""What differs between acquirers of the dialect, on the wire and in the rules (reference, "Dialect knobs")."""

from typing import Any

import pytest

from posd.core import effects as fx
from posd.core.answers import GroupCount, GroupResult, HostTotals, Totals
from posd.core.state import Session, Transaction
from posd.iso8583.message import Message
from posd.profiles.contract import Material, Terminal
from posd.profiles.unionpay.profile import Knobs, UnionPay
from posd.profiles.unionpay.seal import pack
from posd.security.cards import CardData
from posd.values import BatchNumber, Now, Stan

NOW = Now(1_795_400_000_000, 1.0)
PAN, TRACK = "6225880123456789", "6225880123456789=30122010"
TOTALS = Totals(GroupCount(300, 3, 100, 1))
ONE_GROUP = "0000000003000030000000001000010"


def said(
    profile: UnionPay, message: fx.HostMessage, terminal: Terminal, session: Session, txn: Transaction
) -> tuple[str, Message]:
    """The bytes, and what the same knobs read of them."""
    request = Message("0200", {2: PAN, 22: "012", 23: "001", 35: TRACK})
    material = Material({txn.request_id: request}, {txn.request_id: CardData(pan=PAN, sequence="001")})
    frame = profile.encode(message, terminal, session, material).frame
    return frame.hex().upper(), profile.arrive(frame).message


@pytest.mark.parametrize(
    ("knob", "expected"),
    [
        ({}, "01200001" + "00" + "25" + "6225880123456789D301220100"),
        ({"field_22": "right"}, "00120001" + "00" + "25" + "6225880123456789D301220100"),
        ({"field_23": "left"}, "01200010" + "00" + "25" + "6225880123456789D301220100"),
        ({"pad": "F"}, "01200001" + "00" + "25" + "6225880123456789D30122010F"),
        ({"pad": "right"}, "01200001" + "00" + "25" + "06225880123456789D30122010"),
    ],
    ids=["usual", "field 22", "field 23", "F", "right"],
)
def test_how_digits_stand_on_the_wire(
    knob: dict[str, Any], expected: str, terminal: Terminal, session: Session, sale: Transaction
) -> None:
    """Fields 22, 23, 25 and 35 follow each other."""
    frame, read = said(UnionPay(Knobs(**knob)), fx.SendTransaction(sale, None), terminal, session, sale)
    assert expected in frame
    assert (read.get(22), read.get(23), read.get(35)) == ("012", "001", TRACK)


def test_field_61_packed_or_in_ascii(
    terminal: Terminal, session: Session, sale: Transaction, void: Transaction
) -> None:
    message = fx.SendTransaction(void, sale, sale)
    packed, ascii_ = (UnionPay(Knobs(field_61=form)) for form in ("bcd", "ascii"))
    assert "0012000008000124" in said(packed, message, terminal, session, void)[0]
    frame, read = said(ascii_, message, terminal, session, void)
    assert "0012" + b"000008000124".hex() in frame
    assert read.get(61) == "000008000124"


def test_totals_in_one_group(terminal: Terminal, session: Session, sale: Transaction) -> None:
    profile = UnionPay(Knobs(totals_groups=1))
    assert not profile.foreign_apart
    _, asked = said(profile, fx.SendTotals(Stan(131), BatchNumber(8), TOTALS), terminal, session, sale)
    assert asked.get(48) == ONE_GROUP
    for result, word in (("1", GroupResult.BALANCED), ("2", GroupResult.UNBALANCED)):
        fields = {11: "000131", 41: terminal.tid, 42: terminal.mid, 48: ONE_GROUP[:-1] + result}
        answer = pack(profile._codec, profile._envelope, Message("0510", fields), None)
        read = profile.read_answer(profile.arrive(answer.frame), terminal, session, None)
        assert read.host_totals == HostTotals(TOTALS, word, word), "its word on the one group is its word on all"


def test_a_terminals_totals_are_answered_in_one_group(terminal: Terminal, session: Session) -> None:
    profile = UnionPay(Knobs(totals_groups=1))
    fields = {11: "000131", 41: terminal.tid, 42: terminal.mid, 48: ONE_GROUP, 60: "00000008201", 63: "01 "}
    asked = profile.arrive(pack(profile._codec, profile._envelope, Message("0500", fields), None).frame)
    result = fx.TotalsResult(TOTALS, GroupResult.BALANCED, GroupResult.BALANCED)
    out = profile.encode_answer(asked, fx.ToTerminal("r", result), terminal, session, NOW)
    assert profile.arrive(out.frame).message.get(48) == ONE_GROUP[:-1] + "1"


def test_the_rules_that_are_knobs() -> None:
    usual, other = UnionPay(Knobs()), UnionPay(Knobs(upload_records_max=3, ends_without_items=False))
    assert (usual.upload_records_max, other.upload_records_max) == (8, 3)
    assert (usual.close.ends_without_items, other.close.ends_without_items) == (True, False)
