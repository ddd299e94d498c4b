"""What a NAC terminal says to posd, as events; anything else is an event too, and never an error."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posd.core import effects as fx
from posd.core import events as e
from posd.core.answers import AnswerFacts, GroupCount
from posd.core.rules import TxnKind
from posd.core.state import Session
from posd.errors import MalformedMessage
from posd.framing.tpdu import Envelope
from posd.iso8583.message import Message
from posd.profiles.contract import Arrived, Terminal
from posd.profiles.nac.knobs import Knobs
from posd.profiles.nac.profile import Nac
from posd.security.keys import ClearTmk
from posd.values import Now, Rrn, Stan, Tid

VECTORS = Path(__file__).parents[2] / "posd" / "vectors"
FRAMES = {
    row["name"]: bytes.fromhex(row["hex"])[2:]
    for file in ("nac.json", "nac_matrix.json")
    for row in json.loads((VECTORS / file).read_text(encoding="utf-8"))["messages"]
    if row["wire"] == "zero"
}
TERMINAL = Terminal(Tid("12345678"), "000000012345678", ClearTmk(b""), mac_required=False, unsigned_accepted=True)
STRICT = Terminal(TERMINAL.tid, TERMINAL.mid, ClearTmk(b""), mac_required=False)
NAC = Nac(Knobs())
ENVELOPE = Envelope(bytes.fromhex("6000010000"), b"", b"")
SALE = {
    2: "4761739001010119",
    3: "000000",
    4: "000000001000",
    11: "000011",
    14: "3012",
    22: "022",
    25: "00",
    62: "000001",
}


def read(message: Message, terminal: Terminal = TERMINAL) -> e.Event:
    asked = Message(message.mti, {24: "001", 41: "12345678", 42: "000000012345678", **message.fields})
    return NAC.read_request(Arrived(ENVELOPE, b"", asked), terminal, Session(), b"k" * 32, "r", 0.0).event


def asked(mti: str, **changes: str | None) -> e.Event:
    fields = {**SALE, **{int(name[1:]): value for name, value in changes.items()}}
    return read(Message(mti, {number: value for number, value in fields.items() if value is not None}))


def requested(event: e.Event) -> e.TransactionRequested:
    assert isinstance(event, e.TransactionRequested), event
    return event


@pytest.mark.parametrize(
    ("mti", "changes", "kind"),
    [
        ("0200", {}, TxnKind.SALE),
        ("0200", {"f3": "010000"}, TxnKind.SALE),
        ("0200", {"f3": "002000"}, TxnKind.SALE),
        ("0201", {}, TxnKind.SALE),
        ("0200", {"f3": "200000"}, TxnKind.REFUND),
        ("0200", {"f3": "020000", "f37": "112200000011"}, TxnKind.VOID),
        ("0200", {"f3": "220000"}, TxnKind.REFUND_VOID),
        ("0100", {"f3": "300000", "f25": "06"}, TxnKind.PREAUTH),
        ("0100", {"f25": "06"}, TxnKind.PREAUTH),
        ("0220", {}, TxnKind.OFFLINE_SALE),
        ("0220", {"f37": "112200000011"}, TxnKind.COMPLETION_NOTICE),
        ("0220", {"f3": "020000", "f60": "000000000900"}, TxnKind.ADJUST),
        ("0220", {"f3": "020000", "f54": "000000000100", "f60": "000000000900"}, TxnKind.TIP),
        ("0220", {"f3": "020000", "f4": "000000000000", "f60": "000000000900"}, TxnKind.VOID_NOTICE),
        ("0320", {"f3": "940000", "f60": "0200000011" + " " * 12}, TxnKind.CERTIFICATE),
    ],
)
def test_each_kind_by_mti_and_processing_code(mti: str, changes: dict[str, str], kind: TxnKind) -> None:
    event = requested(asked(mti, **changes))
    assert event.kind is kind
    assert (event.invoice, event.terminal_stan, event.terminal_batch) == (1, 11, 0)


def test_a_request_is_known_by_invoice_trace_and_kind_of_message() -> None:
    first = requested(asked("0200"))
    assert first.request_id == "12345678/000001/000011/0200/000000"
    assert requested(asked("0200", f62="000002")).request_id != first.request_id
    assert requested(asked("0200", f4="000000001001")).fingerprint != first.fingerprint
    assert requested(asked("0200", f2="5413330089010434")).fingerprint != first.fingerprint


@pytest.mark.parametrize("mti", ["0400", "0401", "0420"])
def test_a_reversal_names_its_original(mti: str) -> None:
    event = asked(mti)
    assert isinstance(event, e.ReversalRequested)
    assert event.original == requested(asked("0200")).request_id
    held = asked(mti, f3="300000", f25="06")
    assert isinstance(held, e.ReversalRequested)
    assert held.original == requested(asked("0100", f3="300000", f25="06")).request_id


def test_a_void_by_advice_is_of_the_amount_that_it_voids() -> None:
    event = requested(asked("0220", f3="020000", f4="000000000000", f60="000000000900"))
    assert (event.amount_minor, event.original) == (900, e.OriginalPointer(None, None, None, invoice=1))


@pytest.mark.parametrize(
    ("f3", "f25", "mtis"),
    [
        ("000000", "00", ["0200", "0100", "0220"]),
        ("000000", "06", ["0100", "0200", "0220"]),
        ("020000", "00", ["0200", "0220"]),
        ("300000", "06", ["0100"]),
        ("200000", "00", ["0200"]),
    ],
)
def test_a_reversal_may_be_of_a_0100_or_a_0220_with_the_code_of_a_sale(f3: str, f25: str, mtis: list[str]) -> None:
    event = asked("0400", f3=f3, f25=f25)
    assert isinstance(event, e.ReversalRequested)
    meant = [event.original, *event.or_originals]
    assert meant == [f"12345678/000001/000011/{mti}/{f3}" for mti in mtis]
    sold = requested(asked("0200"))
    assert sold.card is not None
    assert event.card == sold.card.digest


@pytest.mark.parametrize("code", ["930000", "930001", "970000"])
def test_a_parameter_load_is_for_the_host_to_answer(code: str) -> None:
    event = read(Message("0800", {3: code, 11: "000020", 48: "123", 60: "A B"}))
    assert event == e.TerminalManagement(code, f"3:{code.encode().hex()};60:{b'A B'.hex()}", "r", 0.0)


def test_its_own_close() -> None:
    totals = read(Message("0500", {3: "920000", 11: "000020", 60: "000007", 63: "002000000015000001000000002000"}))
    assert isinstance(totals, e.TerminalTotalsGiven)
    assert (totals.terminal_batch, totals.totals.domestic) == (7, GroupCount(15_000, 2, 2_000, 1))
    item = asked("0320", f60="0200000011" + " " * 12)
    assert isinstance(item, e.TerminalUploaded)
    assert [(one.terminal_stan, one.amount_minor) for one in item.items] == [(Stan(11), 1_000)]


@pytest.mark.parametrize(
    ("mti", "changes", "refusal"),
    [
        ("0200", {"f42": "999999999999999"}, "unknown_terminal"),
        ("0200", {"f62": None}, "malformed"),
        ("0200", {"f62": "000000"}, "malformed"),
        ("0200", {"f62": "12345"}, "malformed"),
        ("0200", {"f11": "000000"}, "malformed"),
        ("0200", {"f4": None}, "malformed"),
        ("0200", {"f2": None}, "malformed"),
        ("0200", {"f54": "12"}, "malformed"),
        ("0200", {"f3": "310000"}, "not_supported"),
        ("0220", {"f3": "200000"}, "go_online"),
        ("0220", {"f3": "220000", "f4": "000000000000", "f60": "000000001000"}, "go_online"),
        ("0220", {"f3": "220000", "f60": "000000001000"}, "go_online"),
        ("0220", {"f3": "020000", "f4": "000000000000"}, "malformed"),
        ("0800", {"f3": "940000"}, "not_supported"),
        ("0620", {}, "not_supported"),
        ("0200", {"f37": "1|2"}, "malformed"),
        ("0200", {"f64": "0123456789ABCDEF"}, "bad_mac"),
    ],
)
def test_what_cannot_be_served_is_an_event(mti: str, changes: dict[str, str | None], refusal: str) -> None:
    event = asked(mti, **changes)
    assert isinstance(event, e.RequestUnusable)
    assert event.refusal == refusal
    assert "4761739001010119" not in event.because


@pytest.mark.parametrize(("changes", "fine"), [({}, True), ({22: "012"}, False), ({3: "200000"}, False)])
def test_d28_unsigned_refunds_and_typed_numbers(changes: dict[int, str], fine: bool) -> None:
    event = read(Message("0200", {**SALE, **changes}), STRICT)
    assert isinstance(event, e.TransactionRequested) is fine
    assert isinstance(read(Message("0200", {**SALE, **changes})), e.TransactionRequested)


TRACKS = {"1": (45, "B4761739001010119^TEST/CARD^30122010000012345678"), "2": (35, "4761739001010119=30122010000012")}


@pytest.mark.parametrize("track", TRACKS)
def test_number_and_expiry_are_read_from_either_track(track: str) -> None:
    number, text = TRACKS[track]
    swiped = Message("0200", {24: "001", 41: "12345678", **{n: v for n, v in SALE.items() if n not in (2, 14)}})
    known = NAC.read_request(
        Arrived(ENVELOPE, b"", swiped.with_({number: text})), TERMINAL, Session(), b"k" * 32, "r", 0.0
    )
    event = requested(known.event)
    assert event.card is not None
    assert event.card.masked == "476173******0119"
    assert known.card is not None
    assert known.card.expiry == "3012"


def test_an_answer_has_the_terminals_numbers_and_the_hosts_words() -> None:
    asked_for = Message("0200", {**SALE, 24: "001", 41: "12345678", 42: "000000012345678"})
    facts = AnswerFacts("00", Rrn("112200000011"), "123456", "1122", "101500", icc="9100")
    told = fx.ToTerminal("r", fx.Result(facts, icc="910A0102030405060708303072020000"))
    out = NAC.encode_answer(Arrived(ENVELOPE, b"", asked_for), told, TERMINAL, Session(), Now(0, 0.0))
    said = NAC.arrive(out.frame)
    assert said.envelope.tpdu.hex() == "6000000001"
    fields = {3: "000000", 4: "000000001000", 11: "000011", 12: "101500", 13: "1122", 24: "001", 37: "112200000011"}
    fields |= {38: "123456", 39: "00", 41: "12345678", 55: "910A0102030405060708303072020000"}
    assert said.message == Message("0210", fields)


@pytest.mark.parametrize(("f39", "refused"), [(None, False), ("Y1", False), ("Y3", False), ("Z1", True), ("05", True)])
def test_an_advice_of_what_was_not_approved_is_refused(f39: str | None, refused: bool) -> None:
    event = asked("0220", f39=f39)
    assert isinstance(event, e.RequestUnusable if refused else e.TransactionRequested)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(FRAMES)),
    st.lists(st.tuples(st.integers(5, 400), st.integers(0, 255)), max_size=4),
    st.data(),
)
def test_a_damaged_message_is_an_event_or_malformed(
    name: str, damage: list[tuple[int, int]], data: st.DataObject
) -> None:
    frame = bytearray(FRAMES[name])
    for at, value in damage:
        frame[at % len(frame)] = value
    cut = data.draw(st.integers(0, len(frame)))
    for bytes_given in (bytes(frame), bytes(frame[:cut])):
        try:
            arrived = NAC.arrive(bytes_given)
        except MalformedMessage:
            continue
        assert NAC.read_request(arrived, TERMINAL, Session(), b"k" * 32, "r", 0.0).event
        NAC.answer_key(arrived)
        try:
            NAC.read_answer(arrived, TERMINAL, Session(), {11: "000011", 41: "12345678"})
        except MalformedMessage:
            continue
