"""Half-closes, late answers, storms, restarts and odd answers, on real sockets."""

import asyncio
from pathlib import Path

import pytest

from posd.framing.length_prefix import LengthPrefixed, with_length
from posd.framing.tpdu import Envelope, join, split
from posd.iso8583.message import Message
from posd.iso8583.unionpay import UNIONPAY
from simulators.host.books import Settlement
from simulators.host.faults import Rule
from simulators.terminal.client import HEADER, TPDU
from tests.simulators.bench import DOMESTIC, MID, TID
from tests.simulators.test_host_server import SALE, Line, play

ENVELOPE = Envelope(TPDU, b"", HEADER)


class Peer:
    """A bare connection to the host: it says messages and hears frames, nothing else."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer, self.frames = reader, writer, LengthPrefixed()
        self.heard: list[Message] = []

    @classmethod
    async def of(cls, one: Line) -> "Peer":
        return cls(*await asyncio.open_connection("127.0.0.1", one.client.port))

    def say(self, body: bytes) -> None:
        self.writer.write(with_length(join(ENVELOPE, body)))

    async def hear(self, count: int = 1, limit_s: float = 2.0) -> list[Message]:
        """The next messages; fewer when the host closes or the time is over."""
        start = len(self.heard)
        try:
            async with asyncio.timeout(limit_s):
                while len(self.heard) < start + count and (data := await self.reader.read(4096)):
                    self.heard += [UNIONPAY.decode(split(frame, 6)[1]) for frame in self.frames.feed(data)]
        except TimeoutError:
            pass
        return self.heard[start:]


def events(one: Line, name: str) -> list[dict[str, object]]:
    return [event for event in one.events if event["event"] == name]


async def until(one: Line, name: str, limit_s: float = 2.0) -> dict[str, object]:
    async with asyncio.timeout(limit_s):
        while not events(one, name):
            await asyncio.sleep(0.005)
    return events(one, name)[-1]


@pytest.mark.parametrize(("when", "booked"), [("before", 0), ("after", 1)])
def test_half_closed_the_host_still_reads_and_says_nothing(when: str, booked: int) -> None:
    async def scene(one: Line) -> None:
        peer, terminal = await Peer.of(one), one.client.terminal
        first, second = terminal.sale(DOMESTIC, 100), terminal.sale(DOMESTIC, 200)
        peer.say(first.body)
        assert await peer.hear() == []
        assert peer.reader.at_eof()
        peer.say(second.body)
        await until(one, "not sent")
        assert [row["stan"] for row in one.transactions()] == [first.stan, second.stan][1 - booked :]
        peer.writer.close()

    play(scene, Rule(do="half_close", mti="0200", when=when, times=1))


@pytest.mark.parametrize("do", ["close", "half_close"])
def test_an_answer_and_then_the_end_of_the_line(do: str) -> None:
    async def scene(one: Line) -> None:
        peer = await Peer.of(one)
        peer.say(one.client.terminal.sale(DOMESTIC, 100).body)
        (answer,) = await peer.hear(2)
        assert answer.get(39) == "00"
        assert peer.reader.at_eof()
        peer.writer.close()

    play(scene, Rule.model_validate({"do": do, "mti": "0200", "when": "answered"}))


def test_an_answer_comes_after_its_reversal_was_acknowledged() -> None:
    async def scene(one: Line) -> None:
        peer, terminal = await Peer.of(one), one.client.terminal
        sale, other = terminal.sale(DOMESTIC, 100), terminal.sale(DOMESTIC, 200)
        peer.say(sale.body)
        await until(one, "holding until reversed")
        peer.say(other.body)
        peer.say(terminal.reverse(sale.stan).body)
        heard = await peer.hear(3)
        assert [(m.mti, int(m.get(11) or 0), m.get(39)) for m in heard] == [
            ("0210", other.stan, "00"),
            ("0410", sale.stan, "00"),
            ("0210", sale.stan, "00"),
        ]
        assert one.transactions()[0]["state"] == "reversed"
        peer.writer.close()

    play(scene, Rule(do="answer_after_reversal", mti="0200", times=1, ms=10))


def test_an_echo_storm_is_bounded_and_does_not_stop_sales() -> None:
    async def scene(one: Line) -> None:
        peer, terminal = await Peer.of(one), one.client.terminal
        peer.say(terminal.sale(DOMESTIC, 100).body)
        peer.say(terminal.sale(DOMESTIC, 200).body)
        over = await until(one, "storm over")
        sent = over["sent"]
        assert isinstance(sent, int)
        assert 20 <= sent <= 100
        heard = await peer.hear(sent + 2)
        assert len(heard) == sent + 2
        assert {m.mti for m in heard} == {"0210", "0820", "0830"}
        echo = next(m for m in heard if m.mti == "0830")
        assert (echo.get(41), echo.get(42), echo.get(60), echo.get(11)) == (TID, MID, "00000008301", None)
        assert [m.get(39) for m in heard if m.mti == "0210"] == ["00", "00"]
        peer.writer.close()

    one = play(scene, Rule(do="echo_storm", mti="0200", rate=300, ms=200))
    assert len(events(one, "storm over")) == 1


def test_the_terminal_counts_a_storm_as_strays() -> None:
    async def scene(one: Line) -> None:
        await one.do(SALE)
        await until(one, "storm over")
        result = await one.do(SALE)
        assert result["outcome"] == "approved"
        assert isinstance(result["strays"], int)

    play(scene, Rule(do="echo_storm", mti="0200", times=1, rate=200, ms=60))


def test_fields_of_an_answer_are_replaced_and_maced_again() -> None:
    async def scene(one: Line) -> None:
        odd = await one.do(SALE)
        assert (odd["outcome"], odd["rrn"]) == ("approved", "ABCDEFGHIJKL")
        peer = await Peer.of(one)
        peer.say(one.client.terminal.sale(DOMESTIC, 100).body)
        (without,) = await peer.hear()
        assert without.get(37) is None
        peer.writer.close()

    play(
        scene,
        Rule(do="replace_fields", mti="0200", fields={37: "ABCDEFGHIJKL"}, times=1),
        Rule(do="replace_fields", mti="0200", fields={37: ""}),
    )


def test_an_answer_that_cannot_be_said_is_said_so_and_sent_as_it_was() -> None:
    async def scene(one: Line) -> None:
        assert (await one.do(SALE))["outcome"] == "approved"

    one = play(scene, Rule(do="replace_fields", mti="0200", fields={37: "short"}))
    assert "field 37" in str(events(one, "fault not possible")[0]["what"])


def test_another_batch_number_at_the_second_sign_in() -> None:
    async def scene(one: Line) -> None:
        await one.do(SALE)
        assert (await one.do({"do": "sign_in"}))["batch"] == 40
        assert (await one.do(SALE))["outcome"] == "approved"
        assert (await one.do({"do": "settle"}))["outcome"] in ("balanced", "unbalanced")

    one = play(scene, Rule(do="move_batch", mti="0800", nth=2, number=40))
    terminal = one.acquirer.books.terminals[TID]
    assert [(batch.number, batch.state.value) for batch in terminal.batches] == [
        (8, "open"),
        (40, "closed"),
        (41, "open"),
    ]


@pytest.mark.parametrize(("when", "uploaded"), [("before", 8), ("after", 9), ("answered", 9)])
def test_a_restart_in_mid_upload(when: str, uploaded: int, tmp_path: Path) -> None:
    async def scene(one: Line) -> None:
        terminal = one.client.terminal
        for _ in range(9):
            await one.do(SALE)
        assert (await one.do({"do": "totals"}))["outcome"] == "unbalanced"
        first, second = terminal.uploads()
        assert (await one.client.exchange(first, 1.0))["outcome"] == "approved"
        answered = when == "answered"
        assert (await one.client.exchange(second, 1.0))["outcome"] == ("approved" if answered else "line_cut")
        assert settlement(one).dump()["uploaded"] == uploaded
        assert (await one.do(SALE | {"timeout_s": 0.02}))["outcome"] in ("no_line", "line_cut")
        async with asyncio.timeout(2):
            while len(events(one, "listening")) < 2:
                await asyncio.sleep(0.005)
        assert (await one.client.exchange(second, 1.0))["code"] == "00"
        assert (await one.do({"do": "settle_end"}))["code"] == "00"
        assert (settlement(one).matched, settlement(one).end_count_agrees) == (9, True)

    def settlement(one: Line) -> Settlement:
        return one.acquirer.books.terminals[TID].batches[0].settlements[0]

    forced = {"unbalance": "both"}
    play(scene, Rule.model_validate({"do": "restart", "mti": "0320", "nth": 2, "ms": 60, "when": when}), **forced)


def test_closing_during_a_restart_leaves_nothing_behind() -> None:
    async def scene(one: Line) -> None:
        await one.do(SALE)
        await until(one, "restarting")
        await one.server.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", one.client.port)

    play(scene, Rule(do="restart", mti="0200", ms=60_000))


def test_a_rule_that_acted_is_in_the_state_before_anything_else(tmp_path: Path) -> None:
    state = tmp_path / "state.json"

    async def scene(one: Line) -> None:
        await one.do(SALE)
        assert '"used": [1]' in state.read_text()

    play(scene, Rule(do="lose_request", mti="0200", times=1), state=state)


def test_files_that_cannot_be_written_are_events_and_sales_go_on(tmp_path: Path) -> None:
    async def scene(one: Line) -> None:
        assert (await one.do(SALE))["outcome"] == "approved"

    one = play(scene, books=tmp_path / "none" / "books.json", state=tmp_path / "none" / "state.json")
    assert events(one, "books not written")
    assert events(one, "state not written")
