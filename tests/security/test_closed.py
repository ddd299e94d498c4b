"""What holds a secret gives it to nobody: not to a text, a pickle, an encoder, a log or a traceback (D29, P5)."""

import copy
import dataclasses
import io
import json
import logging
import pickle
import pprint
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
import structlog
from pydantic import TypeAdapter
from rich.console import Console
from rich.pretty import Pretty

from posd.daemon.log import alert, log, set_up
from posd.daemon.till.schema import Card, SaleOrder
from posd.iso8583.message import Message
from posd.journal.contract import MessageRow, RecordRow
from posd.profiles.contract import Outgoing
from posd.security.cards import CardData
from posd.security.machine import MachineKey
from posd.security.token import Token
from posd.security.wrapping import Wrapping

PAN, TRACK, PIN_BLOCK = "6225880123456789", "6225880123456789=301220112345", "A1B2C3D4E5F60718"
KEY = bytes.fromhex("C0FFEE0123456789" * 4)
CARD = CardData(pan=PAN, expiry="3012", track2=TRACK, track3="99" + TRACK, pin_block=PIN_BLOCK, icc="5A08" + PAN)
CANARIES = (PAN, TRACK, PIN_BLOCK, "301220112345", KEY.hex(), KEY.hex().upper(), repr(KEY), str(list(KEY))[1:-1])

GUARDED: dict[str, Any] = {
    "card": CARD,
    "machine key": MachineKey(KEY),
    "token": Token(KEY.hex().encode()),
    "wrapping": Wrapping("card", MachineKey(KEY)),
}
QUIET: dict[str, Any] = {
    "message": Message("0200", {2: PAN, 35: TRACK, 52: PIN_BLOCK}),
    "record row": RecordRow("1", "k", 1, 0, "{}", secret=PAN.encode()),
    "message row": MessageRow("1", 0, "in", "host", "0200", "{}", PAN.encode(), secret=PAN.encode()),
    "outgoing": Outgoing(PAN.encode(), "0200", {}, {}, pan=PAN.encode()),
}

SHOWING: dict[str, Callable[[Any], str]] = {
    "repr": repr,
    "str": str,
    "ascii": ascii,
    "format": lambda one: format(one, ">200"),
    "f-string": lambda one: f"{one} {one!r} {one!s:200}",
    "percent": lambda one: "%s %r" % (one, one),  # noqa: UP031
    "in a dict": lambda one: repr({"card": [one]}),
    "pprint": pprint.pformat,
    "rich": lambda one: _rich(one),
    "vars": lambda one: str(getattr(one, "__dict__", "")),
}
REFUSED: dict[str, Callable[[Any], Any]] = {
    "json": json.dumps,
    "msgspec json": msgspec.json.encode,
    "msgspec msgpack": msgspec.msgpack.encode,
    "msgspec builtins": msgspec.to_builtins,
    "asdict": dataclasses.asdict,
    "astuple": dataclasses.astuple,
    "replace": dataclasses.replace,
    "pydantic": lambda one: TypeAdapter(type(one)).dump_json(one),
    "pickle": pickle.dumps,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "getstate": lambda one: one.__getstate__(),
}


def _rich(one: Any) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(Pretty(one, expand_all=True))
    return out.getvalue()


def leaks(text: str) -> list[str]:
    return [canary for canary in CANARIES if canary in text or canary in text.replace("\\n", "").replace(" ", "")]


@pytest.mark.parametrize("what", [*GUARDED, *QUIET])
@pytest.mark.parametrize("how", SHOWING)
def test_p5_it_is_shown_by_its_name_only(what: str, how: str) -> None:
    assert leaks(SHOWING[how]({**GUARDED, **QUIET}[what])) == []


@pytest.mark.parametrize("what", GUARDED)
@pytest.mark.parametrize("how", REFUSED)
def test_p5_nothing_takes_it_apart(what: str, how: str) -> None:
    with pytest.raises((TypeError, ValueError, RuntimeError, Exception)) as caught:
        REFUSED[how](GUARDED[what])
    assert leaks("".join(traceback.format_exception(caught.value))) == []


@pytest.mark.parametrize("what", QUIET)
@pytest.mark.parametrize("how", [how for how in REFUSED if how not in ("replace", "copy", "getstate")])
def test_p5_what_carries_bytes_of_a_message_is_not_pickled_or_encoded(what: str, how: str) -> None:
    with pytest.raises((TypeError, ValueError, RuntimeError, Exception)) as caught:
        REFUSED[how](QUIET[what])
    assert leaks("".join(traceback.format_exception(caught.value))) == []


@pytest.mark.parametrize("how", [how for how in SHOWING if how not in ("format", "f-string")])
def test_p5_a_tills_order_shows_nothing_of_its_card(how: str) -> None:
    """It is encoded for its digest alone (D6)."""
    order = SaleOrder(amount="1.00", card=Card(number=PAN, expiry="3012"))
    assert leaks(SHOWING[how](order)) == []
    for refused in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="never pickled"):
            refused(order)


def test_p5_a_hook_for_unknown_objects_opens_nothing() -> None:
    """The usual careless one, in both encoders."""
    with pytest.raises(TypeError, match="MayHoldCardData"):
        msgspec.json.encode(QUIET["message"], enc_hook=str)
    assert leaks(json.dumps([*GUARDED.values(), *QUIET.values()], default=str)) == []


def test_the_search_finds_what_is_there() -> None:
    """A negative control."""
    assert leaks(f"card {PAN}") == [PAN]
    assert leaks(str({"key": KEY}))
    assert leaks(KEY.hex())


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    out = io.StringIO()
    set_up("json", "debug", out)
    yield out
    set_up()


def _fails(card: CardData, message: Message, pan: str) -> None:
    track = card.track2  # noqa: F841  a local that a renderer of tracebacks would show
    raise ValueError(f"no such card {pan}")


def _failure() -> ValueError:
    try:
        _fails(CARD, QUIET["message"], PAN)
    except ValueError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize("kind", ["json", "console"])
def test_p5_an_exception_in_the_log_has_neither_locals_nor_numbers(kind: Any, logged: io.StringIO) -> None:
    set_up(kind, "debug", logged)
    alert("broken", exc_info=_failure(), card=CARD, message=QUIET["message"], pan=PAN, track2=TRACK, note=PAN, raw=KEY)
    log.info("told", **{"fields": {2: PAN}, "text": f"{CARD} {TRACK}"})
    logging.getLogger("library").error("card %s of %r", PAN, CARD, exc_info=_failure())
    said = logged.getvalue()
    assert "ValueError" in said
    assert "622588******6789" in said
    assert leaks(said) == []


def test_p5_locals_are_not_shown_even_by_a_renderer_that_shows_locals() -> None:
    """Frames hold numbers as plain text, so a traceback with locals must never be made; our objects do not help."""
    text = "".join(traceback.TracebackException.from_exception(_failure(), capture_locals=True).format())
    assert "card = <CardData 622588******6789>" in text
    assert PIN_BLOCK not in text
    assert PAN in text, "the reason why posd's log has a renderer of its own"


def test_p5_no_renderer_of_structlogs_own_is_configured() -> None:
    processors = structlog.get_config()["processors"]
    names = {getattr(one, "__name__", type(one).__name__) for one in processors}
    assert "mask_event" in names
    assert names.isdisjoint({"ExceptionRenderer", "ExceptionPrettyPrinter", "format_exc_info", "dict_tracebacks"})
