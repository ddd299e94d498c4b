"""The station: keeps what belongs to no terminal, within its limit, and survives what it cannot say."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from posd.core import effects as fx
from posd.core.station import UNMATCHED_PER_MINUTE_MAX, Station
from posd.daemon.station_lane import Ending, Garbage, Line, StationLane, Turnaway, Unmatched, Up
from posd.errors import CannotEncode
from posd.framing.tpdu import Envelope
from posd.iso8583.message import Message
from posd.profiles.contract import Arrived
from posd.profiles.unionpay.profile import Knobs, UnionPay
from posd.values import Now
from tests.daemon.stage import TID, Stage, play

MakeStage = Callable[..., Stage]
ENVELOPE = Envelope(bytes.fromhex("6000030000"), b"", bytes.fromhex("603100310100"))
PAN = "6225880123456789"


def lane(a_minute: int = 2) -> StationLane:
    return StationLane(Station(a_minute), UnionPay(Knobs()))


def at(seconds: float) -> Now:
    return Now(round(seconds * 1000), seconds)


def steps(station: StationLane, item: Any, seconds: float = 0.0) -> list[Any]:
    return list(station.steps(item, at(seconds)))


def turnaway(mti: str = "0200", fields: dict[int, str] | None = None) -> Turnaway:
    arrived = Arrived(ENVELOPE, b"\x02\x00", Message(mti, fields if fields is not None else {2: PAN, 41: "77777777"}))
    return Turnaway(arrived, "c|1", fx.Refusal.UNKNOWN_TERMINAL, "not ours")


def test_a_refusal_is_kept_while_the_minute_lasts_and_told_always() -> None:
    station = lane(a_minute=2)
    kept = [len(step.rows) for number in range(5) for step in steps(station, turnaway(), number)]
    assert kept == [3, 3, 0, 0, 0]
    (later,) = steps(station, turnaway(), 61)
    assert '"unsaid":3' in later.rows[1].payload
    assert later.to_terminal[0][1].mti == "0210"
    assert PAN not in repr([row.fields for row in later.rows if hasattr(row, "fields")])


def test_what_wants_no_answer_gets_none() -> None:
    (step,) = steps(lane(), turnaway("0210"))
    assert step.to_terminal == ()
    station = lane(a_minute=1)
    steps(station, turnaway("0210"))
    assert steps(station, turnaway("0210")) == []


def test_garbage_is_counted_when_it_is_not_kept() -> None:
    station = lane(a_minute=1)
    assert [len(steps(station, Garbage("host", 9, "no frame"))) for _ in range(3)] == [1, 0, 0]
    assert len(steps(station, Garbage("terminal", 9, "no frame"))) == 1, "each peer has a minute of its own"


def test_d32_a_host_that_says_answers_for_nobody_without_end_fills_no_disk() -> None:
    """What an honest host says so is kept, with its key."""
    station = lane()
    kept = []
    for number in range(3 * UNMATCHED_PER_MINUTE_MAX):
        arrived = Arrived(ENVELOPE, b"", Message("0210", {11: f"{number:06d}", 39: "00", 41: "99999999"}))
        kept += steps(station, Unmatched(arrived, "nobody"), number / 1000)
    assert len(kept) == UNMATCHED_PER_MINUTE_MAX
    (later,) = steps(station, Unmatched(arrived, "nobody"), 61)
    assert later.effects[0].facts["unsaid"] == 2 * UNMATCHED_PER_MINUTE_MAX
    assert steps(station, Garbage("host", 9, "no frame"), 62), "others have their own minute"


def test_the_line_and_unmatched_answers_are_kept() -> None:
    station = lane()
    (step,) = steps(station, Line(False, "cut"))
    assert step.rows[0].payload == '{"up":false,"why":"cut"}'
    arrived = Arrived(ENVELOPE, b"", Message("0210", {2: PAN, 11: "000007", 39: "00"}))
    (step,) = steps(station, Unmatched(arrived, "nobody"))
    assert isinstance(step.effects[0], fx.Alert)
    assert (step.rows[0].stan, step.rows[0].secret) == (7, None)  # D29: of no batch, so nothing would end its key
    assert '"622588******6789"' in step.rows[0].fields


def test_the_daemons_start_and_end_are_kept() -> None:
    station = lane()
    rows = [step.rows[0] for item in (Up("0.1.0"), Ending("told to stop")) for step in steps(station, item)]
    assert [(row.kind, row.payload) for row in rows] == [
        ("daemon_started", '{"version":"0.1.0"}'),
        ("daemon_stopped", '{"why":"told to stop"}'),
    ]


def test_a_daemon_that_is_told_to_stop_says_so_last(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        await stage.sale("1.00")
        await stage.end()
        assert [row.tid for row in stage.rig.records("daemon_started")] == ["station"]
        kinds = [row.kind for row in stage.rig.records()]
        assert kinds.index("daemon_started") < kinds.index("authorisation_started")
        assert "daemon_stopped" in kinds[-2:], "the line's end may come after it"

    play(staged(), story)


def test_a_refusal_that_cannot_be_said_is_only_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    station = lane()

    def mute(*arguments: object) -> None:
        raise CannotEncode("a test")

    monkeypatch.setattr(station._profile, "refuse", mute)
    (step,) = steps(station, turnaway())
    assert (len(step.rows), step.to_terminal) == (2, ())


def test_a_bug_of_the_station_costs_one_item(staged: MakeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        station = stage.daemon._table.station
        assert station is not None
        real = station._steps.steps
        left = [1]

        def broken(item: Any, now: Now) -> Any:
            if left.pop() if left else 0:
                raise KeyError(PAN)
            return real(item, now)

        monkeypatch.setattr(station._steps, "steps", broken)
        terminal = stage.terminal()
        nonsense = {"do": "raw", "hex": "0000", "timeout_s": 1}
        await terminal.do(nonsense)
        await terminal.do(nonsense)
        await stage.until(lambda: stage.rig.records("input_unreadable"))
        assert (await stage.sale("1.00"))["outcome"] == "approved"
        await asyncio.sleep(0)
        assert TID

    stage = staged()
    play(stage, story, may_say=frozenset({"station_item_dropped"}))
    assert "station_item_dropped" in stage.events()
    assert PAN not in stage.log.getvalue()
