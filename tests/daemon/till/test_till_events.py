"""Server-sent events: what is durable, in order, once, and again from any place (Last-Event-ID)."""

import asyncio
import http.client
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from posd.daemon.till import events as till_events
from posd.daemon.till.events import KINDS, event
from posd.journal.contract import RecordView
from posd.journal.reader import JournalReader
from tests.daemon.stage import CARD, TID, UNTIL_S, Stage, play
from tests.daemon.till.client import SALE, Till, with_till

MakeStage = Callable[..., Stage]


class Listener:
    """A client of the stream, in threads; `events` as they came."""

    def __init__(self, till: Till, query: str = "", headers: dict[str, str] | None = None) -> None:
        self.connection = till.connect()
        self.query, self.headers = query, headers or {}
        self.events: list[dict[str, Any]] = []

    async def __aenter__(self) -> "Listener":
        self.response = await asyncio.to_thread(self._open)
        return self

    async def __aexit__(self, *error: object) -> None:
        self.connection.close()
        self.response.close()

    def _open(self) -> http.client.HTTPResponse:
        self.connection.request("GET", f"/v1/events{self.query}", headers=self.headers)
        response = self.connection.getresponse()
        assert (response.status, response.getheader("content-type")) == (200, "text/event-stream")
        assert response.readline().startswith(b"retry: ")
        return response

    async def until(self, name: str, count: int = 1) -> list[dict[str, Any]]:
        """Read until so many events of this name have come."""
        await asyncio.to_thread(self._until, name, count)
        return self.events

    def _until(self, name: str, count: int) -> None:
        while sum(one["event"] == name for one in self.events) < count:
            lines = []
            while line := self.response.readline().rstrip(b"\n"):
                lines.append(line.decode().partition(": "))
            said = {field: value for field, _, value in lines if field}
            if "data" in said:
                data = json.loads(said["data"])
                assert (said["id"], said["event"]) == (str(data["sequence"]), data["event"])
                self.events.append(data)


def run(staged: MakeStage, story: Callable[[Stage, Till], Any], **how: Any) -> None:
    stage = staged(**how)
    till = with_till(stage)

    async def whole(stage: Stage) -> None:
        await stage.start()
        await story(stage, till)

    play(stage, whole)


def test_what_happens_is_told_in_order_and_without_secrets(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        async with Listener(till) as listener:
            await till.order("s-1", {**SALE, "reference": "R-1"})
            await till.order("s-2", {**SALE, "amount": "51.51"})
            heard = await listener.until("declined")
        names = [one["event"] for one in heard]
        assert names == ["authorisation_started", "approved", "answer_handed_over", "authorisation_started", "declined"]
        first = heard[0]
        assert (first["id"], first["tid"], first["kind"], first["amount"], first["reference"]) == (
            "s-1",
            TID,
            "sale",
            "12.30",
            "R-1",
        )
        assert (heard[1]["id"], heard[1]["code"]) == ("s-1", "00")
        text = json.dumps(heard)
        assert CARD not in text
        assert "digest" not in text
        assert "fingerprint" not in text
        assert [one["sequence"] for one in heard] == sorted({one["sequence"] for one in heard})

    refused = {"do": "refuse", "mti": "0200", "amount": "*51", "code": "51"}
    run(staged, story, faults=(refused,), change={"host": {"reply_timeout_s": 2}})


@pytest.mark.parametrize("how", ["header", "query"])
def test_it_goes_on_after_any_event_also_of_before_a_restart(staged: MakeStage, how: str) -> None:
    async def story(stage: Stage, till: Till) -> None:
        async with Listener(till, "?after=0") as listener:
            await till.order("s-1")
            whole = list(await listener.until("approved"))
        await stage.end()
        await stage.start()
        for number, one in enumerate(whole):
            place = str(one["sequence"])
            asked = {"query": f"?after={place}"} if how == "query" else {"headers": {"Last-Event-ID": place}}
            async with Listener(till, **asked) as listener:
                rest = whole[number + 1 :]
                if rest:
                    assert (await listener.until("approved"))[: len(rest)] == rest

    run(staged, story)


def test_nothing_is_lost_or_doubled_over_many_pages(staged: MakeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(till_events, "PAGE_ROWS", 2)

    async def story(stage: Stage, till: Till) -> None:
        for number in range(6):
            await till.order(f"s-{number}")
        async with Listener(till, "?after=0") as listener:
            heard = await listener.until("approved", 6)
        with JournalReader(stage.folder / "state" / "journal") as reader:
            kept = [row.sequence for row in reader.records() if row.kind in KINDS]
        assert [one["sequence"] for one in heard] == [one for one in kept if one <= heard[-1]["sequence"]]

    run(staged, story)


def test_a_dead_line_is_noticed_by_a_heartbeat(staged: MakeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(till_events, "HEARTBEAT_S", 0.2)

    async def story(stage: Stage, till: Till) -> None:
        async with Listener(till) as listener:
            begin = b": posd, from %d\n" % stage.rig.head().sequence
            for line in (begin, b"\n", b": still here\n"):
                assert await asyncio.to_thread(listener.response.readline) == line

    run(staged, story)


def test_a_place_that_is_none_is_refused(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        for place in ("x", "-1", "1.5", "99999", "9" * 30, ""):
            refused = await till.ask("GET", "/v1/events", headers={"Last-Event-ID": place})
            assert (refused.status, refused.problem) == (400, "bad_place")
        assert (await till.ask("GET", "/v1/events?x=1")).problem == "bad_query"

    run(staged, story)


async def listens(till: Till) -> bool:
    """Whether one more stream can be had."""
    listener = Listener(till)
    try:
        await listener.__aenter__()
    except AssertionError:
        return False
    await listener.__aexit__()
    return True


def test_streams_are_bounded_and_end_with_posd(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        streams = [Listener(till) for _ in range(8)]
        for stream in streams:
            await stream.__aenter__()
        assert (await till.ask("GET", "/v1/events")).problem == "too_many_streams"
        await streams[0].__aexit__()
        async with asyncio.timeout(UNTIL_S):
            while not await listens(till):
                await asyncio.sleep(0.01)
        await stage.end()
        for stream in streams[1:]:
            with suppress(http.client.IncompleteRead):  # cut off, as by any line that ends
                await asyncio.to_thread(stream.response.read)
            await stream.__aexit__()

    run(staged, story)


def test_no_key_of_a_session_is_told() -> None:
    row = RecordView(
        5, TID, "signed_in", 1, 0, '{"stan":1,"wrapped_keys":"ABCD","batch_number":1}', None, 1, None, 1, False, None
    )
    assert b"ABCD" not in event(row, "Asia/Shanghai")
    assert b"event: signed_in" in event(row, "Asia/Shanghai")
