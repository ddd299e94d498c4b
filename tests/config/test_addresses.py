"""Addresses: what is understood, what is refused, and that no refusal repeats the value."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posd.addresses import Address, SerialAddress, parse_address, parse_tcp

DEVICE = "serial:///dev/ttyUSB0"
ALL = "baud=1200&parity=even&stop=2&flow=rtscts&framing=stx&inter_byte_s=0.25&ack_timeout_s=1&retries=0&lrc=body-etx"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.1:5000", Address("10.0.0.1", 5000)),
        ("[::1]:5000", Address("::1", 5000)),
        ("host.example:1", Address("host.example", 1)),
        (DEVICE, SerialAddress("/dev/ttyUSB0")),
        (f"{DEVICE}?baud=9600", SerialAddress("/dev/ttyUSB0", baud=9600)),
        (f"{DEVICE}?framing=length", SerialAddress("/dev/ttyUSB0", framing="length")),
        (
            f"{DEVICE}?{ALL}",
            SerialAddress("/dev/ttyUSB0", 1200, "even", 2, "rtscts", "stx", 0.25, 1.0, 0, "body-etx"),
        ),
    ],
)
def test_what_is_understood(text: str, address: object) -> None:
    assert parse_address(text) == address
    assert parse_address(address) is address


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"{DEVICE}?boud=9600", "a parameter is unknown; did you mean 'baud'?"),
        (f"{DEVICE}?framing=stc", "framing must be one of stx, length; did you mean 'stx'?"),
        (f"{DEVICE}?parity=evn", "parity must be one of none, even, odd; did you mean 'even'?"),
        (f"{DEVICE}?baud=9601", "baud must be a usual rate; one of 1200, "),
        (f"{DEVICE}?baud=", "baud must be a usual rate"),
        (f"{DEVICE}?baud", "not a serial address; write it as"),
        (f"{DEVICE}?baud=9600&baud=1200", "a parameter stands there twice; keep one"),
        (f"{DEVICE}?stop=3", "stop must be one of 1, 2"),
        (f"{DEVICE}?retries=21", "retries must be 0 to 20"),
        (f"{DEVICE}?retries=-1", "retries must be 0 to 20"),
        (f"{DEVICE}?ack_timeout_s=0", "ack_timeout_s must be seconds up to 60"),
        (f"{DEVICE}?ack_timeout_s=nan", "ack_timeout_s must be seconds"),
        (f"{DEVICE}?framing=length&lrc=body-etx", "lrc belongs to framing=stx; remove it"),
        (f"{DEVICE}?framing=length&retries=1", "retries belongs to framing=stx"),
        (f"{DEVICE}?inter_byte_s=2&ack_timeout_s=2", "inter_byte_s must be below ack_timeout_s"),
        (f"{DEVICE}?baud=1200&inter_byte_s=0.01", "shorter than two bytes"),
        (f"{DEVICE}#x", "nothing may stand after #"),
        ("serial://dev/ttyUSB0", "write three slashes"),
        ("serial://", "write three slashes"),
        ("serial:///", "write three slashes"),
        ("serail:///dev/ttyUSB0", "did you mean 'serial'?"),
        ("serial:///dev/tty\nUSB0", "slashes"),
        ("1.2.3:70", "not an IP address"),
        ("1.2.3.4:0", "the port must be 1 to 65535"),
        ("", "must be an address and a port"),
    ],
)
def test_what_is_refused_says_what_to_do(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match="; ") as caught:
        parse_address(text)
    assert problem in str(caught.value)


def test_where_only_tcp_will_do() -> None:
    assert parse_tcp("10.0.0.1:5000") == Address("10.0.0.1", 5000)
    with pytest.raises(ValueError, match="must be an address and a port"):
        parse_tcp(DEVICE)


def test_d28_a_serial_line_is_local_and_so_is_loopback() -> None:
    assert SerialAddress("/dev/ttyUSB0").is_local
    assert [Address(host, 1).is_local for host in ("127.9.9.9", "::1", "localhost", "10.0.0.1", "host")] == [
        *[True] * 3,
        *[False] * 2,
    ]


def test_the_time_that_a_line_needs() -> None:
    line = SerialAddress("/dev/ttyS0", baud=9_600, parity="even", stop=2, ack_timeout_s=1.0, retries=2)
    assert line.byte_s == 12 / 9_600
    assert line.give_up_s(800) == pytest.approx(3 * (1.0 + 1.0))
    bare = SerialAddress("/dev/ttyS0", baud=9_600, framing="length")
    assert bare.give_up_s(960) == pytest.approx(1.0)


def test_it_is_shown_as_a_person_knows_it() -> None:
    assert str(parse_address(f"{DEVICE}?baud=9600")) == DEVICE
    assert str(Address("::1", 7)) == "[::1]:7"


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=60), st.text(max_size=40).map(lambda text: f"{DEVICE}?{text}")))
def test_any_text_is_an_address_or_a_named_problem(text: str) -> None:
    try:
        parse_address(text)
    except ValueError as problem:
        what, _, hint = str(problem).partition("; ")
        assert what
        assert hint
