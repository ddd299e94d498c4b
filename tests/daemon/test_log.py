"""The log: masked whatever comes, one line an event, light, and never in the way of the work."""

import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from posd.daemon.log import alert, log, set_up, take_over_strays
from posd.daemon.logmask import TEXT_CHARACTERS_MAX, looks_like_card, mask_text, mask_value
from posd.security.cards import CardData

PAN = "6225880123456788"
PAN_WITHOUT_LUHN = "6225880123456789"
VISA = "4111111111111111"
TRACK_2 = PAN + "=30122010000012345678"
CANARY = PAN[6:-4]


@dataclass
class Leaky:
    pan: str = PAN

    def __str__(self) -> str:
        return self.pan


class Broken(Exception):
    def __str__(self) -> str:
        raise ValueError(PAN)


class Colour(StrEnum):
    CARD = PAN
    RED = "red"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    set_up("json", "info", stream)
    yield stream
    set_up()


def _last(written: io.StringIO) -> dict[str, Any]:
    line = json.loads(written.getvalue().splitlines()[-1])
    assert isinstance(line, dict)
    return line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (PAN, "622588******6788"),
        (f"card {PAN}.", "card 622588******6788."),
        (VISA, "411111******1111"),
        ("4111 1111 1111 1111", "411111******1111"),
        ("4111-1111-1111-1111", "411111******1111"),
        (PAN_WITHOUT_LUHN, "622588******6789"),
        ("4222222222222", "42222****2222"),  # 13 digits
        ("8171999900000000011", "817199*********0011"),  # 19 digits, no Luhn digit
        ("378282246310005", "378282*****0005"),  # 15 digits
        (TRACK_2, "<track>"),
        (TRACK_2.replace("=", "D"), "<track>"),
        (TRACK_2.replace("=", "d"), "<track>"),
        (f";{TRACK_2}?", ";<track>?"),
        (f"%B{PAN}^LI/LEI^3012201?", "%B<track>?"),
        (f"12{PAN.zfill(19)}00000000", "<29 digits>"),
        (f"body b'\\x62\\x25{PAN}' end", "body <bytes> end"),
        ('b"\\x62\\""', "<bytes>"),
        ("bytearray(b'b%\\x88')", "<bytes>"),
        ("\x1b[31mred\x00", "\\x1b[31mred\\x00"),
    ],
)
def test_what_is_masked(text: str, shown: str) -> None:
    assert mask_text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "10000001",
        "898100012345678",
        "898100012345671",
        "124654321000",
        "10000001/000008/000124/0200/000000",
        "2026-11-22T10:11:12.123456Z",
        "1760000000000",
        "1760000000004",
        "9" * 12,
        "/var/lib/posd/journal.db",
    ],
)
def test_what_support_needs_stays(text: str) -> None:
    assert mask_text(text) == text


@pytest.mark.parametrize("length", range(13, 16))
def test_luhn(length: int) -> None:
    """Of ten numbers that differ in the last digit exactly one passes."""
    assert [looks_like_card("9" * (length - 1) + last) for last in "0123456789"].count(True) == 1


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (True, True),
        (1.5, 1.5),
        (12345, 12345),
        (int(PAN), "622588******6788"),
        (1760000000000, 1760000000000),
        (PAN.encode(), "<16 bytes>"),
        (bytearray(3), "<3 bytes>"),
        (memoryview(b"abcd"), "<4 bytes>"),
        (Leaky(), "<Leaky>"),
        (Leaky, "<type>"),
        (object(), "<object>"),
        (CardData(pan=PAN), "<CardData 622588******6788>"),
        (Path("/tmp") / PAN, "/tmp/622588******6788"),
        (date(2026, 11, 22), "2026-11-22"),
        (Colour.RED, "red"),
        (Colour.CARD, "622588******6788"),
        ([PAN, {"a": (PAN, {PAN})}], ["622588******6788", {"a": ["622588******6788", ["622588******6788"]]}]),
        ({PAN: 1, int(PAN): 2}, {"622588******6788": 2}),
        (
            {"pin_block": "E97D930127EB3146", "MAK": "x", "expiry": None},
            {"pin_block": "***", "MAK": "***", "expiry": None},
        ),
        (ValueError(PAN), "ValueError: 622588******6788"),
        ("a\nb\tc\u2028", "a\\nb\\tc\\u2028"),
    ],
)
def test_every_kind_of_value(value: object, shown: object) -> None:
    assert mask_value(value) == shown


def test_an_exception_whose_text_fails_is_still_shown() -> None:
    shown = str(mask_value(Broken()))
    assert "Broken" in shown
    assert CANARY not in shown


def test_bounded_in_every_direction() -> None:
    circle: list[object] = []
    circle.append(circle)
    assert "***" in str(mask_value(circle))
    assert len(str(mask_value("x" * 10 * TEXT_CHARACTERS_MAX))) <= TEXT_CHARACTERS_MAX + 1
    assert len(str(mask_value(list(range(10_000))))) < 1_000
    cut = "x" * (TEXT_CHARACTERS_MAX - 10) + PAN
    assert PAN[:8] not in mask_text(cut)


@pytest.mark.parametrize("format", ["json", "console"])
def test_no_canary_in_any_line(format: str) -> None:
    stream = io.StringIO()
    set_up("json" if format == "json" else "console", "debug", stream)
    try:
        log.info(PAN, card=PAN, number=int(PAN), raw=PAN.encode(), deep={"a": [TRACK_2]}, odd=Leaky(), **{PAN: 1})
        log.bind(bound=PAN).warning("bound", pin="123456")
        try:
            try:
                raise KeyError(PAN)
            except KeyError as cause:
                raise ValueError(f"while {PAN.encode()!r}") from cause
        except ValueError as error:
            log.exception("failed", why=error)
            log.error("failed", exc_info=error)
            alert("failed", exc_info=True, why=Broken())
    finally:
        set_up()
    text = stream.getvalue()
    assert "ValueError" in text
    assert "KeyError" in text
    assert "622588******6788" in text
    for canary in (CANARY, "012345678", "123456", "b'"):
        assert canary not in text


def test_a_json_line(written: io.StringIO) -> None:
    log.info("link_ready", tid="10000001", 店="一号")
    line = _last(written)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "link_ready", "level": "info", "tid": "10000001", "店": "一号"}


def test_levels(written: io.StringIO) -> None:
    log.debug("unseen")
    assert written.getvalue() == ""
    set_up("json", "error", written)
    log.warning("unseen")
    assert written.getvalue() == ""
    alert("reversal_stuck", tid="10000001")
    assert _last(written)["alert"] is True
    assert _last(written)["level"] == "critical"


def test_one_line_an_event_whatever_the_peer_sends(written: io.StringIO) -> None:
    log.info("refused\n2026 forged line", reason="a\nb\r\x1b[2J")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        log.exception("failed")
    assert len(written.getvalue().splitlines()) == 2
    stream = io.StringIO()
    set_up("console", "info", stream)
    log.info("refused\nforged", reason="a\nb\r\x1b[2J")
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()


def test_a_line_that_cannot_be_written_is_dropped_and_counted() -> None:
    closed = io.StringIO()
    lines = set_up("json", "info", closed)
    closed.close()
    try:
        log.info("lost")
        alert("lost")
    finally:
        set_up()
    assert lines.dropped == 2


def test_a_poor_terminal_gets_escapes() -> None:
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding="ascii")
    set_up("console", "info", stream)
    try:
        log.info("店")
    finally:
        set_up()
    stream.flush()
    assert b"\\u5e97" in buffer.getvalue()


def test_strays_come_masked(written: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    for place, name in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(place, name, getattr(place, name))
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        take_over_strays()
        logging.getLogger("apscheduler").warning("missed %s", PAN)
        assert _last(written)["library"] == "apscheduler"
        assert _last(written)["event"] == "missed 622588******6788"
        logging.getLogger("apscheduler").info("unseen")
        thread = threading.Thread(target=int, args=("x" + PAN,))
        thread.start()
        thread.join()
        assert _last(written)["event"] == "uncaught_exception"
        assert _last(written)["alert"] is True
        sys.excepthook(KeyError, KeyError(TRACK_2), None)
        assert _last(written)["exception"] == "KeyError: '<track>'"
        lines = len(written.getvalue().splitlines())
        sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
        assert len(written.getvalue().splitlines()) == lines
        assert CANARY not in written.getvalue()
    finally:
        logging.captureWarnings(False)
        root.handlers[:] = handlers
        root.setLevel(level)


def test_the_log_does_not_load_rich_nor_forbid_it() -> None:
    """D38: structlog would import it when it is installed, as it is beside typer."""
    program = (
        "import sys; from posd.daemon.log import log, set_up; set_up('console'); log.info('x');"
        "assert not [name for name in sys.modules if name.partition('.')[0] in ('rich', 'typer')];"
        "import rich.console"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout  # colours on a terminal only
