"""What posd says to a NAC host and reads of it, byte by byte: part C of the samples, and generated messages."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from posd.core import effects as fx
from posd.core.answers import AnswerClass, ExchangeKind, GroupResult, MacCheck
from posd.core.state import Session
from posd.errors import CannotEncode
from posd.framing.length_prefix import LengthPrefixed, with_length
from posd.framing.tpdu import Envelope
from posd.iso8583.message import Message
from posd.profiles.contract import Arrived, Material, Terminal
from posd.profiles.nac.data import MATRIX
from posd.profiles.nac.knobs import Knobs
from posd.profiles.nac.profile import Nac
from posd.security.keys import ClearTmk
from posd.values import BatchNumber, Now, Stan, Tid
from tests.profiles.nac_meanings import BATCH, CARD, ICC, SALE, SOLD, TIP, TOTALS, meanings

VECTORS = Path(__file__).parents[2] / "posd" / "vectors"
SAMPLES = {row["name"]: row for row in json.loads((VECTORS / "nac.json").read_text(encoding="utf-8"))["messages"]}
GENERATED = {row["name"]: row for row in json.loads((VECTORS / "nac_matrix.json").read_text())["messages"]}
TERMINAL = Terminal(Tid("12345678"), "000000012345678", ClearTmk(b""), mac_required=False)
NAC = Nac(Knobs())
NAC_ENVELOPE = Envelope(bytes.fromhex("6000010000"), b"", b"")
MEANINGS = meanings()


def wire(name: str, profile: Nac = NAC) -> str:
    message, material = MEANINGS[name]
    return with_length(profile.encode(message, TERMINAL, Session(), material).frame).hex().upper()


def fields(message: fx.HostMessage, material: Material, knobs: Knobs | None = None) -> dict[int, str]:
    profile = Nac(knobs or Knobs())
    return dict(profile.arrive(profile.encode(message, TERMINAL, Session(), material).frame).message.fields)


def arrived(name: str) -> Arrived:
    (frame,) = LengthPrefixed().feed(bytes.fromhex(SAMPLES[name]["hex"]))
    return NAC.arrive(frame)


@pytest.mark.parametrize("name", ["N1", "N2", "N3", "N4", "N5", "N7", "N9"])
def test_part_c_is_what_we_say(name: str) -> None:
    profile, sample = Nac(Knobs(more_follows=True)), SAMPLES[name]
    assert wire(name, profile) == sample["hex"]


def test_every_kind_has_a_generated_message() -> None:
    assert list(GENERATED) == [name for name in MEANINGS if name not in SAMPLES]
    assert {row["source"] for row in GENERATED.values()} == {"generated"}


def test_every_kind_of_the_matrix_is_among_them() -> None:
    sent = (message for message, _ in MEANINGS.values() if isinstance(message, fx.SendTransaction | fx.SendAdvice))
    assert {message.transaction.kind for message in sent} == set(MATRIX)


@pytest.mark.parametrize("name", GENERATED)
def test_generated_messages_have_not_changed(name: str) -> None:
    assert wire(name) == GENERATED[name]["hex"]


def test_answers_of_part_c() -> None:
    asked = {3: "920000", 11: "000020", 41: "12345678"}
    totals = NAC.read_answer(arrived("N6"), TERMINAL, Session(), asked)
    assert (totals.kind, totals.stan, totals.answer_class, totals.mismatch) == (
        ExchangeKind.TOTALS,
        Stan(20),
        AnswerClass.APPROVE,
        "",
    )
    assert totals.host_totals is not None
    assert (totals.host_totals.totals, totals.host_totals.domestic) == (None, GroupResult.UNBALANCED)
    assert totals.host_clock == "1122220010"
    upload = NAC.read_answer(arrived("N8"), TERMINAL, Session(), {11: "000021", 41: "12345678"})
    assert (upload.kind, upload.answer_class, upload.mac) == (
        ExchangeKind.UPLOAD,
        AnswerClass.APPROVE,
        MacCheck.EXEMPT,
    )
    end = NAC.read_answer(arrived("N10"), TERMINAL, Session(), {3: "960000", 11: "000024", 41: "12345678"})
    assert (end.kind, end.answer_class, end.mismatch) == (ExchangeKind.TRAILER, AnswerClass.APPROVE, "")


@pytest.mark.parametrize(
    ("echoed", "what"),
    [({11: "000021"}, "field 11"), ({41: "87654321"}, "field 41"), ({3: "960000"}, "field 3"), ({42: "1" * 15}, "")],
)
def test_an_answer_to_something_else_is_noticed(echoed: dict[int, str], what: str) -> None:
    answer = NAC.read_answer(arrived("N6"), TERMINAL, Session(), echoed)
    assert answer.mismatch.startswith(what)
    assert bool(answer.mismatch) is bool(what)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        *(("08", "approve"), ("11", "approve"), ("51", "decline"), ("77", "decline"), ("68", "unconfirmed")),
        *(("A0", "unconfirmed"), ("ZZ", "unconfirmed"), ("99", "decline"), ("95", "decline")),
    ],
)
def test_codes_mean_what_part_2_says_and_none_asks_for_a_sign_in(code: str, expected: str) -> None:
    reply = Message("0210", {3: "000000", 11: "000011", 39: code, 41: "12345678"})
    answer = NAC.read_answer(Arrived(None, b"", reply), TERMINAL, Session(), None)  # type: ignore[arg-type]
    assert answer.answer_class.value == expected
    assert AnswerClass.ACT_AND_RETRY not in {row.answer_class for row in NAC.codes.values()}


def test_a_reversal_has_fields_2_and_14_and_never_35_39_52_or_55() -> None:
    sent = fields(fx.SendReversal(SALE, None, "98"), Material({}, {SALE.request_id: CARD}))
    assert (sent[2], sent[14], sent[11], sent[3], sent[4], sent[62]) == (
        CARD.pan,
        "3012",
        "000011",
        "000000",
        "000000010000",
        "000001",
    )
    assert not {35, 39, 45, 48, 52, 55} & sent.keys()


@pytest.mark.parametrize(
    ("knobs", "first", "again"),
    [
        ({}, "0400", "0400"),
        ({"reversal_repeat_digit": True}, "0400", "0401"),
        ({"reversal_mti": "0420"}, "0420", "0420"),
        ({"reversal_mti": "0420", "reversal_repeat_digit": True}, "0420", "0421"),
    ],
)
def test_the_forms_of_a_reversal(knobs: dict[str, str], first: str, again: str) -> None:
    profile = Nac(Knobs(**knobs))  # type: ignore[arg-type]
    material = Material({}, {SALE.request_id: CARD})
    for repeat, mti in ((False, first), (True, again)):
        out = profile.encode(fx.SendReversal(SALE, None, "", repeat=repeat), TERMINAL, Session(), material)
        assert (out.mti, profile.arrive(out.frame).message.get(11)) == (mti, "000011")
    for answered in ("0410", "0430"):
        reply = Message(answered, {3: "000000", 11: "000011", 39: "00", 41: "12345678"})
        key = NAC.answer_key(Arrived(None, b"", reply))  # type: ignore[arg-type]
        assert key == (ExchangeKind.REVERSAL, Stan(11))


def test_what_the_chip_approved_says_so_in_advice_and_upload() -> None:
    for name in ("offline sale that the chip approved", "its upload"):
        sent = fields(*MEANINGS[name])
        assert (sent[39], sent[23], sent[55]) == ("Y1", "001", ICC), name
    assert 39 not in fields(*MEANINGS["offline sale"])


def test_a_void_by_advice_says_zero_and_what_it_voids() -> None:
    sent = fields(*MEANINGS["void by advice"])
    assert (sent[3], sent[4], sent[60], sent[62]) == ("020000", "000000000000", "000000011000", "000001")


def test_a_parameter_load_comes_back_as_it_is() -> None:
    reply = Message("0810", {3: "930001", 11: "000042", 39: "00", 41: "12345678", 60: "TIMEOUT=30"})
    answer = NAC.read_answer(
        Arrived(None, b"", reply),  # type: ignore[arg-type]
        TERMINAL,
        Session(),
        {3: "930000", 11: "000042", 41: "12345678"},
    )
    assert (answer.kind, answer.mismatch) == (ExchangeKind.MANAGEMENT, "")
    asked = Arrived(NAC_ENVELOPE, b"", Message("0800", {3: "930000", 11: "000009", 24: "001", 41: "12345678"}))
    told = fx.ToTerminal("r", fx.ManagementResult("00", answer.block))
    out = NAC.encode_answer(asked, told, TERMINAL, Session(), Now(0, 0.0))
    said = NAC.arrive(out.frame).message
    assert (said.mti, said.get(3), said.get(11), said.get(39), said.get(60)) == (
        "0810",
        "930001",
        "000009",
        "00",
        "TIMEOUT=30",
    )


def test_a_reversal_without_its_card_cannot_be_said() -> None:
    with pytest.raises(CannotEncode, match="card number"):
        NAC.encode(fx.SendReversal(SALE, None, ""), TERMINAL, Session(), Material({}, {}))


def test_the_invoice_is_kept_through_void_adjustment_and_upload() -> None:
    for name in ("void of a sale with a tip", "tip", "upload of what was adjusted", "reversal of a void"):
        message, material = MEANINGS[name]
        assert fields(message, material)[62] == "000001", name


def test_an_adjusted_sale_is_uploaded_as_what_the_host_has() -> None:
    sent = fields(*MEANINGS["upload of what was adjusted"])
    assert (sent[3], sent[4], sent[11]) == ("000000", "000000011000", "000040")
    assert sent[60] == "0200000011" + " " * 12
    assert sent[54] == "000000001000"


def test_the_knobs() -> None:
    upload = fx.SendUpload(Stan(40), BATCH, (SOLD,), None, SOLD, True)
    material = Material({}, {SOLD.request_id: CARD, TIP.request_id: CARD})
    assert fields(upload, material, Knobs(more_follows=True))[3] == "000001"
    assert fields(replace_more(upload), material, Knobs(more_follows=True))[3] == "000000"
    assert fields(upload, material)[3] == "000000"
    assert fields(fx.SendReversal(SALE, None, ""), Material({}, {SALE.request_id: CARD}), Knobs(times="always"))[13]
    for digits in (30, 33, 36, 90):
        assert len(fields(fx.SendTotals(Stan(1), BATCH, TOTALS), material, Knobs(totals_digits=digits))[63]) == digits
    assert fields(fx.SendEcho(BatchNumber(1)), material, Knobs(nii="009"))[24] == "009"


def replace_more(upload: fx.SendUpload) -> fx.SendUpload:
    return fx.SendUpload(upload.stan, upload.batch_number, upload.transactions, None, upload.root, False)


def test_a_mac_is_made_and_checked_where_the_host_wants_one() -> None:
    key = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
    signing, keyed = Nac(Knobs(mac_algorithm="x9.19")), Terminal(TERMINAL.tid, TERMINAL.mid, ClearTmk(key), True)
    message, material = MEANINGS["N3"]
    frame = signing.encode(message, keyed, Session(), material).frame
    assert signing.arrive(frame).message.get(64) is not None
    reply = Message("0210", {3: "000000", 11: "000011", 39: "00", 41: "12345678"})
    answer = signing.read_answer(Arrived(None, b"", reply), keyed, Session(), None)  # type: ignore[arg-type]
    assert answer.mac is MacCheck.ABSENT
    with pytest.raises(CannotEncode, match="posd keys load"):
        signing.encode(message, TERMINAL, Session(), material)


def test_what_the_dialect_does_not_have_cannot_be_said() -> None:
    with pytest.raises(CannotEncode, match="sign-off"):
        NAC.encode(fx.SendSignOff(Stan(1), BATCH), TERMINAL, Session(), Material({}, {}))
    of_unionpay = replace_options(SALE, "000500")
    with pytest.raises(CannotEncode, match="profile changed"):
        NAC.encode(fx.SendReversal(of_unionpay, None, ""), TERMINAL, Session(), Material({}, {SALE.request_id: CARD}))


def replace_options(txn: object, options: str) -> object:
    from msgspec.structs import replace as changed

    return changed(txn, options=options)  # type: ignore[type-var]


def test_no_masked_message_shows_its_card() -> None:
    for name, (message, material) in MEANINGS.items():
        out = NAC.encode(message, TERMINAL, Session(), material)
        shown = " ".join(out.masked.values())
        assert CARD.pan is not None
        assert CARD.pan not in shown, name
        assert "0123456789ABCDEF" not in shown
    assert replace(Knobs(), nii="002").nii == "002"
