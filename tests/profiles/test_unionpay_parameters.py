"""Parameter download, status upload and a terminal's own management messages (reference 1.3, 1.14)."""

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posd.core import effects as fx
from posd.core import events as e
from posd.core.answers import ExchangeKind
from posd.core.state import Session
from posd.errors import MalformedMessage
from posd.iso8583.message import Message
from posd.iso8583.unionpay import UNIONPAY
from posd.profiles.contract import Arrived, Material, Terminal
from posd.profiles.unionpay.parameters import block, read
from posd.profiles.unionpay.profile import UnionPay
from posd.profiles.unionpay.seal import pack
from posd.values import BatchNumber, Now, Stan

BLOCK = b"12451402112345678   181191522" + "小店".encode("gbk").ljust(40) + b"232" + b"26\xff\x00\xaa\x55" + b"2705"
TOLD = {
    "timeout_s": "45",
    "phone_1": "02112345678",
    "tip_allowed": "1",
    "tip_percent": "15",
    "merchant_name": "小店",
    "resend_times": "2",
    "transactions": "FF00AA55",
    "offline_max": "05",
}
NOTHING = Material({}, {})
IDENTITY = {11: "000130", 41: "10000001", 42: "898100012345678"}

Arrive = Callable[[Message], Arrived]


@pytest.fixture
def arrive(profile: UnionPay) -> Arrive:
    return lambda message: profile.arrive(pack(UNIONPAY, profile._envelope, message, None).frame)


def test_a_block_and_back() -> None:
    assert read(BLOCK) == TOLD
    assert block(TOLD) == BLOCK
    assert read(b"") == {}


@pytest.mark.parametrize("bad", [b"124", b"9945", b"12451245", b"1", b"\xff\xff12", b"22\xd0"])
def test_one_that_is_cut_short_or_unknown_is_refused_whole(bad: bytes) -> None:
    with pytest.raises(MalformedMessage, match="62"):
        read(bad)


def test_a_name_that_is_no_gbk_breaks_nothing() -> None:
    (name,) = read(b"22" + b"\xff\x1b[2J".ljust(40)).values()
    assert name.isprintable()


@given(st.binary(max_size=120))
def test_any_bytes_are_parameters_or_an_error(data: bytes) -> None:
    with contextlib.suppress(MalformedMessage):
        assert all(text.isprintable() for text in read(data).values())


@given(st.dictionaries(st.sampled_from([*TOLD, "unknown"]), st.text(max_size=50)))
def test_a_status_of_anything_can_be_read(parameters: dict[str, str]) -> None:
    parameters.pop("transactions", None)
    read(block(parameters))


def test_a_download_and_a_status_upload_have_these_fields(
    profile: UnionPay, terminal: Terminal, session: Session
) -> None:
    def say(function: str, told: str = "", status: dict[str, str] | None = None) -> Message:
        message = fx.SendManagement(Stan(130), BatchNumber(9), function, told, status or {})
        return profile.arrive(profile.encode(message, terminal, session, NOTHING).frame).message

    down = say("0800/360")
    assert (down.mti, down.fields) == ("0800", {**IDENTITY, 60: "00000009360"})
    up = say("0820/362", status={"timeout_s": "30", "offline_max": "7"})
    assert (up.mti, up.get(60), bytes.fromhex(up.get(62) or "")) == ("0820", "00000009362", b"12302707")
    own = say("0820/362", "3132333435", {"timeout_s": "30"})
    assert own.get(62) == "3132333435", "the terminal's own goes on as it came"


def test_an_answer_is_told_apart_from_that_of_a_sign_in(
    profile: UnionPay, terminal: Terminal, session: Session, arrive: Arrive
) -> None:
    def got(code: str, field_62: str | None) -> tuple[ExchangeKind, dict[str, str] | None, str]:
        fields = {**IDENTITY, 39: "00", 60: f"00000009{code}"} | ({62: field_62} if field_62 else {})
        answer = profile.read_answer(arrive(Message("0810", fields)), terminal, session, None)
        return answer.kind, dict(answer.parameters) if answer.parameters is not None else None, answer.block

    assert got("360", BLOCK.hex().upper()) == (ExchangeKind.MANAGEMENT, TOLD, BLOCK.hex().upper())
    assert got("360", None) == (ExchangeKind.MANAGEMENT, {}, "")
    assert got("360", "31") == (ExchangeKind.MANAGEMENT, None, "31"), "unreadable: told to nobody but a terminal"
    assert got("370", "30") == (ExchangeKind.MANAGEMENT, None, "30")
    assert got("004", None)[0] is ExchangeKind.SIGN_IN
    echo = arrive(Message("0830", {**IDENTITY, 39: "00", 60: "00000009362"}))
    assert profile.answer_key(echo) == (ExchangeKind.MANAGEMENT, Stan(130))


@pytest.mark.parametrize(("mti", "code"), [("0800", "360"), ("0800", "370"), ("0820", "362"), ("0820", "382")])
def test_a_terminals_own_is_for_the_host(
    profile: UnionPay, terminal: Terminal, session: Session, arrive: Arrive, mti: str, code: str
) -> None:
    asked = arrive(Message(mti, {**IDENTITY, 60: f"00000999{code}", 62: "9F0605A0"}))
    event = profile.read_request(asked, terminal, session, bytes(32), "r", 5.0).event
    assert event == e.TerminalManagement(f"{mti}/{code}", "9F0605A0", "r", 5.0)
    answer = fx.ToTerminal("r", fx.ManagementResult("00", "319F06"))
    out = profile.arrive(profile.encode_answer(asked, answer, terminal, session, Now(0, 0.0)).frame).message
    assert out.mti == {"0800": "0810", "0820": "0830"}[mti]
    assert (out.get(11), out.get(39), out.get(62)) == ("000130", "00", "319F06")
    assert out.get(60) == f"00000999{code}", "with the terminal's own batch"


@pytest.mark.parametrize(("mti", "code"), [("0820", "360"), ("0800", "362"), ("0800", "999"), ("0820", "000")])
def test_what_the_reference_does_not_have_is_refused(
    profile: UnionPay, terminal: Terminal, session: Session, arrive: Arrive, mti: str, code: str
) -> None:
    asked = arrive(Message(mti, {**IDENTITY, 60: f"00000999{code}"}))
    assert isinstance(profile.read_request(asked, terminal, session, bytes(32), "r", 5.0).event, e.RequestUnusable)
