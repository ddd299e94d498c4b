"""The terminal against a tiny door that says what the test wants."""

import asyncio
from collections.abc import Callable

import pytest

from posd.framing.length_prefix import LengthPrefixed, with_length
from posd.framing.tpdu import join, split
from posd.iso8583.message import Message
from posd.iso8583.unionpay import UNIONPAY
from simulators.terminal.client import TerminalClient
from simulators.terminal.core import Terminal
from tests.simulators.bench import DOMESTIC, MID, TID

Say = Callable[[Message], list[Message]]
SALE = {"do": "sale", "amount": 1234, "card": DOMESTIC.pan, "expiry": "3012", "timeout_s": 0.2}


def approve(request: Message) -> list[Message]:
    fields = {n: request.fields[n] for n in (3, 4, 11, 41, 42, 60) if n in request.fields}
    return [Message(f"{int(request.mti) + 10:04d}", {**fields, 37: "000000000001", 39: "00"})]


def run(say: Say, *steps: dict[str, object]) -> tuple[list[dict[str, object]], list[Message]]:
    """Play steps against a door; the results and what the door heard."""
    heard: list[Message] = []

    async def door(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = LengthPrefixed()
        while data := await reader.read(4096):
            for frame in frames.feed(data):
                envelope, body = split(frame, 6)
                heard.append(UNIONPAY.decode(body))
                for answer in say(heard[-1]):
                    writer.write(with_length(join(envelope.answered(), UNIONPAY.encode(answer))))
        writer.close()

    async def play() -> list[dict[str, object]]:
        server = await asyncio.start_server(door, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        client = TerminalClient(Terminal(TID, MID), "127.0.0.1", port, timeout_s=0.2)
        results = [await client.do(step) for step in steps]
        await client.close()
        server.close()
        return results

    return asyncio.run(play()), heard


def test_an_approved_sale_without_keys_has_no_mac_and_no_pin() -> None:
    (result,), (request,) = run(approve, SALE | {"pin": "123456"})
    assert (result["outcome"], result["code"], result["amount"]) == ("approved", "00", 1234)
    assert request.get(64) is None
    assert request.get(52) is None
    assert request.get(35) == f"{DOMESTIC.pan}=30122010000012345678"[:37]


def test_a_typed_card_has_fields_2_and_14() -> None:
    _, (request,) = run(approve, SALE | {"entry": "012"})
    assert (request.get(2), request.get(14), request.get(35)) == (DOMESTIC.pan, "3012", None)


def test_silence_is_no_answer_and_the_reversal_names_the_original() -> None:
    def only_reversals(request: Message) -> list[Message]:
        return approve(request) if request.mti == "0400" else []

    results, heard = run(only_reversals, SALE, {"do": "reverse", "stan": 1})
    assert [result["outcome"] for result in results] == ["no_answer", "approved"]
    assert (heard[1].get(11), heard[1].get(60)) == (heard[0].get(11), heard[0].get(60))
    assert (heard[1].get(39), heard[1].get(61)) == ("98", None)


def test_an_answer_to_something_else_is_a_stray() -> None:
    def confused(request: Message) -> list[Message]:
        return [approve(request)[0].with_({11: "999999"}), *approve(request)]

    (result,), _ = run(confused, SALE)
    assert (result["outcome"], result["strays"]) == ("approved", 1)


def test_a_repeat_is_the_same_message() -> None:
    _, heard = run(approve, SALE, {"do": "repeat", "stan": 1})
    assert heard[0].fields == heard[1].fields


@pytest.mark.parametrize(
    "step",
    [
        {},
        {"do": "dance"},
        {"do": "sale"},
        {"do": "sale", "amount": "x", "card": "1", "expiry": "3012"},
        {"do": "sale", "amount": "1.00", "card": "1", "expiry": "3012", "timeout_s": "long"},
        {"do": "void", "of_stan": 77},
        {"do": "repeat", "stan": 77},
        {"do": "raw", "hex": "zz"},
        {"do": "sale", "amount": "1.00", "card": "not digits", "expiry": "3012"},
    ],
)
def test_a_bad_step_is_said_and_nothing_leaves(step: dict[str, object]) -> None:
    (result,), heard = run(approve, step)
    assert (result["outcome"], heard) == ("bad_step", [])


def test_no_door_is_no_line() -> None:
    async def play() -> dict[str, object]:
        client = TerminalClient(Terminal(TID, MID), "127.0.0.1", 9, timeout_s=0.5)
        return await client.do({"do": "echo"})

    assert asyncio.run(play())["outcome"] == "no_line"
