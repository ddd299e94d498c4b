"""Field 55, chip details and script notices, field by field (reference 1.3, 1.7, 1.10). All bytes are generated."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from posd.core import effects as fx
from posd.core import events as e
from posd.core.answers import AnswerFacts, HostAnswer
from posd.core.rules import TxnKind
from posd.core.state import ChipEnd, ChipResult, Session, Transaction, TxnStatus
from posd.errors import CannotEncode
from posd.iso8583.message import Message
from posd.iso8583.unionpay import UNIONPAY
from posd.profiles.contract import Material, ReadRequest, Terminal
from posd.profiles.unionpay.profile import UnionPay
from posd.profiles.unionpay.seal import mak_of, pack
from posd.security.cards import CardData
from posd.values import BatchNumber, Minor, Now, RequestId, Rrn, Stan

PAN = "6225880123456789"
DIGEST_KEY = bytes(32)
REQUEST_55 = "9F2608A1B2C3D4E5F607189F2701809F10030102039F3602000195050080046000820200009F1E084142434431323334"
LAST_WORDS = "9F2608FFEEDDCCBBAA00119F2701409505008004E000"

Say = Callable[[fx.HostMessage, Material], Message]
Read = Callable[[Message], ReadRequest]


@pytest.fixture
def say(profile: UnionPay, terminal: Terminal, session: Session) -> Say:
    return lambda message, material: profile.arrive(profile.encode(message, terminal, session, material).frame).message


@pytest.fixture
def read(profile: UnionPay, terminal: Terminal, session: Session) -> Read:
    def event(message: Message) -> ReadRequest:
        out = pack(UNIONPAY, profile._envelope, message, mak_of(terminal, session, profile._keying))
        return profile.read_request(profile.arrive(out.frame), terminal, session, DIGEST_KEY, "r", 0.0)

    return event


@pytest.fixture
def chip(sale: Transaction) -> Transaction:
    return replace(sale, entry_mode="051", chip=True, options="000501000")


def material(txn: Transaction, icc: str | None = REQUEST_55) -> Material:
    card = CardData(pan=PAN, expiry="3012", sequence="001", entry_mode="051", kept_icc=icc)
    return Material({}, {txn.request_id: card})


def ascii_62(message: Message) -> bytes:
    return bytes.fromhex(message.get(62) or "")


def of_55(message: Message) -> str:
    return message.get(55) or ""


# --- what leaves -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "balanced", "code", "said"),
    [
        (ChipResult.ACCEPTED, True, "203", b"610000000000012345156"),
        (ChipResult.ACCEPTED, False, "205", b"610000000000012345156"),
        (ChipResult.REFUSED, True, "204", b"71001100000001234515610"),
        (ChipResult.REFUSED, False, "206", b"71001100000001234515610"),
        (ChipResult.UNPROVEN, True, "204", b"71000500000001234515621"),
    ],
)
def test_a_chip_detail_has_exactly_these_fields(
    say: Say, chip: Transaction, result: ChipResult, balanced: bool, code: str, said: bytes
) -> None:
    out = say(fx.SendChipDetail(chip.stan, BatchNumber(9), chip, result, balanced), material(chip))
    assert out.mti == "0320"
    assert set(out.fields) == {2, 4, 11, 22, 23, 41, 42, 55, 60, 62}
    assert (out.get(11), out.get(60)) == ("000124", f"00000009{code}50"), (
        "the original's number, 60.6 and 60.7 left out"
    )
    assert ascii_62(out) == said
    assert of_55(out).startswith("9F2608A1B2C3D4E5F60718")
    assert ("9F270140" in of_55(out)) is (result is not ChipResult.REFUSED)
    assert ("9F270100" in of_55(out)) is (result is ChipResult.REFUSED)


def test_a_foreign_card_and_the_chips_own_last_words(say: Say, chip: Transaction) -> None:
    facts = replace(chip.facts, scheme="VIS")  # type: ignore[type-var]
    told = replace(chip, facts=facts, chip_end=ChipEnd(ChipResult.REFUSED, "13", LAST_WORDS))
    out = say(fx.SendChipDetail(told.stan, BatchNumber(9), told, ChipResult.REFUSED, True), material(told))
    assert ascii_62(out) == b"71011300000001234515610", "class 01, and the code that the terminal gave"
    assert "9F2608FFEEDDCCBBAA0011" in of_55(out)
    assert "9505008004E000" in of_55(out)
    assert "9F270100" in of_55(out), "what it did decides, whatever the tags say"


def test_without_what_the_chip_said_there_is_no_detail(say: Say, chip: Transaction) -> None:
    with pytest.raises(CannotEncode, match="vault"):
        say(fx.SendChipDetail(chip.stan, BatchNumber(9), chip, ChipResult.ACCEPTED, True), material(chip, None))


def test_a_reversal_has_the_five_tags_and_no_other(say: Say, chip: Transaction) -> None:
    unknown = replace(chip, status=TxnStatus.UNKNOWN, facts=None)
    out = say(fx.SendReversal(unknown, None, "98"), material(chip))
    assert of_55(out) == "950500800460009F1E0841424344313233349F10030102039F36020001"
    later = say(fx.SendReversal(unknown, None, "96", "9505FFFFFFFFFFDF31052000000000"), material(chip))
    assert of_55(later) == "9505FFFFFFFFFF9F1E0841424344313233349F10030102039F36020001DF31052000000000"
    assert (later.get(39), later.get(23), later.get(2)) == ("96", "001", PAN)


def test_what_names_an_original_is_reversed_without_field_55(say: Say, void: Transaction, sale: Transaction) -> None:
    out = say(fx.SendReversal(void, sale, "98"), material(void))
    assert out.get(55) is None


def notice(sale: Transaction) -> Transaction:
    return replace(
        sale,
        request_id=RequestId("the notice"),
        kind=TxnKind.SCRIPT_RESULT,
        status=TxnStatus.STORED,
        amount_minor=Minor(12345),
        stan=Stan(140),
        batch_number=BatchNumber(9),
        entry_mode="051",
        original=sale.request_id,
        facts=None,
    )


def test_a_script_result_names_its_original_as_we_sent_it(say: Say, chip: Transaction) -> None:
    told = notice(chip)
    out = say(fx.SendAdvice(told, chip), material(told, "95050080046000DF31052000000000"))
    assert out.mti == "0620"
    assert set(out.fields) == {2, 3, 4, 11, 14, 22, 23, 25, 37, 38, 41, 42, 49, 55, 60, 61, 64}
    assert (out.get(3), out.get(25), out.get(11), out.get(60)) == ("000000", "00", "000140", "00000009951")
    assert out.get(61) == "0000080001241122"
    assert of_55(out) == "95050080046000DF31052000000000"
    held = replace(chip, kind=TxnKind.PREAUTH)
    assert say(fx.SendAdvice(told, held), material(told)).get(25) == "06", "processing and condition of its original"


def test_a_script_result_whose_original_is_forgotten_cannot_be_said(say: Say, chip: Transaction) -> None:
    with pytest.raises(CannotEncode, match="script"):
        say(fx.SendAdvice(notice(chip), None), material(notice(chip)))


# --- what comes ------------------------------------------------------------------------------------------------------


def test_a_terminals_script_result_is_an_advice_about_its_own_trace(read: Read) -> None:
    fields = {2: PAN, 3: "000000", 4: "000000012345", 11: "000778", 22: "051", 25: "00", 37: "112200000124"}
    fields |= {41: "10000001", 42: "898100012345678", 49: "156", 55: "5A086225880123456789DF31052000000000"}
    fields |= {60: "00000999951", 61: "000999000777"}
    got = read(Message("0620", fields))
    event = got.event
    assert isinstance(event, e.TransactionRequested)
    assert (event.kind, event.request_id) == (TxnKind.SCRIPT_RESULT, "10000001/000999/000778/0620/000000")
    assert event.original == e.OriginalPointer("112200000124", 999, Stan(777))
    assert got.card is not None
    assert got.card.kept_icc == "DF31052000000000", "no card number in what is kept"
    bare = read(Message("0620", {n: v for n, v in fields.items() if n != 2})).event
    assert isinstance(bare, e.TransactionRequested)
    assert bare.card is None
    for missing in (11, 22, 55, 60, 61):
        assert isinstance(
            read(Message("0620", {n: v for n, v in fields.items() if n != missing})).event, e.RequestUnusable
        )
    assert isinstance(read(Message("0620", {**fields, 60: "00000999952"})).event, e.RequestUnusable)


def sold(icc: str) -> Message:
    fields = {2: PAN, 3: "000000", 4: "000000012345", 11: "000777", 14: "3012", 22: "051", 23: "001", 25: "00"}
    return Message("0200", {**fields, 41: "10000001", 42: "898100012345678", 49: "156", 55: icc, 60: "22000999000500"})


@pytest.mark.parametrize("icc", ["9F26", "9F2608AA", "FFFF"])
def test_a_field_55_that_could_never_be_reversed_is_refused(read: Read, icc: str) -> None:
    event = read(sold(icc)).event
    assert isinstance(event, e.RequestUnusable)
    assert "55" in event.because


def test_a_reversal_is_taken_whatever_its_field_55_says(read: Read) -> None:
    fields = {3: "000000", 4: "000000012345", 11: "000777", 22: "051", 25: "00", 39: "96", 49: "156"}
    fields |= {41: "10000001", 42: "898100012345678", 60: "22000999000500"}
    for icc, kept in (("9F26", ""), ("5A086225880123456789" + "95050080046000", "95050080046000")):
        event = read(Message("0400", {**fields, 55: icc})).event
        assert isinstance(event, e.ReversalRequested)
        assert event.icc == kept


@pytest.mark.parametrize(
    ("icc", "refused"),
    [
        ("9F100E0701010320A802010A0100000000", True),
        ("9F100E07010103A0A802010A0100000000", False),
        ("9F100E0701010360A802010A0100000000", False),
        ("9F10050701010320", True),
        ("9F100407010103", False),
        ("9F10050701010420", False),
        ("9F270100" + "9F100E07010103A0A802010A0100000000", True),
        ("9F270180" + "9F100E0701010320A802010A0100000000", False),
        ("9F270140", False),
        ("95050080046000", False),
        ("9F10", False),
        (None, False),
    ],
)
def test_only_the_chips_own_word_says_that_it_refused(read: Read, icc: str | None, refused: bool) -> None:
    fields = {3: "000000", 4: "000000012345", 11: "000777", 22: "051", 25: "00", 39: "96", 49: "156"}
    fields |= {41: "10000001", 42: "898100012345678", 60: "22000999000500"} | ({55: icc} if icc else {})
    event = read(Message("0400", fields)).event
    assert isinstance(event, e.ReversalRequested)
    assert (event.reason, event.chip_refused) == ("96", refused)


@pytest.mark.parametrize(
    ("text", "end"),
    [
        (b"610000000000012345156", (ChipResult.ACCEPTED, "00")),
        (b"71001100000001234515610", (ChipResult.REFUSED, "11")),
        (b"71001300000001234515610", (ChipResult.REFUSED, "13")),
        (b"71000500000001234515621", (ChipResult.UNPROVEN, "05")),
        (b"71009900000001234515610", None),
        (b"61000000000001234515", None),
        (b"6100000000000\xb9\xb2345156", None),
    ],
)
def test_a_terminals_chip_detail(read: Read, text: bytes, end: tuple[ChipResult, str] | None) -> None:
    fields = {2: PAN, 4: "000000012345", 11: "000777", 22: "051", 23: "001", 41: "10000001", 42: "898100012345678"}
    fields |= {55: LAST_WORDS + "5A086225880123456789", 60: "0000099920350", 62: text.hex().upper()}
    event = read(Message("0320", fields)).event
    if end is None:
        assert isinstance(event, e.RequestUnusable)
        return
    assert isinstance(event, e.TerminalUploaded)
    (item,) = event.items
    assert item.chip == ChipEnd(*end, LAST_WORDS)
    assert (item.terminal_stan, item.amount_minor) == (777, 12345)


SAYS = "910AA1B2C3D4E5F607183030"
SCRIPTS = "720386010A" + "720386010B"


def answer_55(profile: UnionPay, terminal: Terminal, session: Session, icc: str) -> HostAnswer:
    fields = {3: "000000", 4: "000000012345", 11: "000124", 39: "00", 41: "10000001", 42: "898100012345678"}
    mak = mak_of(terminal, session, profile._keying)
    out = pack(UNIONPAY, profile._envelope, Message("0210", {**fields, 55: icc}), mak)
    return profile.read_answer(profile.arrive(out.frame), terminal, session, None)


def test_what_the_issuer_says_reaches_the_terminal_as_it_came(
    profile: UnionPay, terminal: Terminal, session: Session
) -> None:
    facts = AnswerFacts("00", rrn=Rrn("112200000124"), icc=SAYS, scripts=2, scheme="CUP", remarks="\xc4\xfa\xba\xc3")
    asked = pack(UNIONPAY, profile._envelope, sold(REQUEST_55), mak_of(terminal, session, profile._keying))

    def told(icc: str) -> Message:
        answer = fx.ToTerminal("r", fx.Result(facts, icc=icc))
        out = profile.encode_answer(profile.arrive(asked.frame), answer, terminal, session, Now(0, 0.0))
        return profile.arrive(out.frame).message

    live = told(SAYS + SCRIPTS + "9F790100")
    assert (live.get(55), live.get(63)) == (SAYS + SCRIPTS + "9F790100", "CUP\xc4\xfa\xba\xc3")
    assert told("").get(55) == SAYS, "told again, it is what was kept"


def test_p5_what_is_kept_of_an_answer_has_no_card_and_no_script(
    profile: UnionPay, terminal: Terminal, session: Session
) -> None:
    """A script may carry a new PIN; number and track have nothing to do there, and are not trusted to stay away."""
    answer = answer_55(profile, terminal, session, SAYS + SCRIPTS + "5A086225880123456789")
    assert (answer.facts.icc, answer.facts.scripts) == (SAYS, 2)
    assert answer.icc == SAYS + SCRIPTS + "5A086225880123456789"
    assert "6225880123456789" not in repr(answer)


def test_an_answers_field_55_that_cannot_be_read_breaks_nothing(
    profile: UnionPay, terminal: Terminal, session: Session
) -> None:
    answer = answer_55(profile, terminal, session, "9F26")
    assert (answer.facts.icc, answer.facts.scripts, answer.mismatch) == (None, 0, "")
