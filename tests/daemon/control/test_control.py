"""The verbs over a real Unix socket: a Control on real engines, asked by the command line's own client."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from posd.core import events as e
from posd.core.state import SettlementPhase
from posd.daemon.control.server import ControlFailed, ControlServer, call
from posd.daemon.control.verbs import VERBS, Control
from posd.daemon.shown import watch
from tests.daemon.shop import EVERYTHING, OTHER_TID, TID, Shop, a_shop

LIMIT_S = 10
Story = Callable[["Client", Shop], Awaitable[None]]


class Client:
    """`posd`'s side of the socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: list[dict[str, Any]] = []

    async def ask(self, verb: str, request_id: str | None = None, **args: Any) -> dict[str, Any]:
        return await asyncio.to_thread(
            partial(call, self.path, verb, args, on_progress=self.heard.append, request_id=request_id)
        )

    async def refused(self, verb: str, **args: Any) -> str:
        with pytest.raises(ControlFailed) as failed:
            await self.ask(verb, **args)
        assert "\n" not in str(failed.value)
        return str(failed.value)


async def until(happened: Callable[[], bool]) -> None:
    while not happened():
        await asyncio.sleep(0.005)


def play(tmp_path: Path, shop: Shop, story: Story) -> None:
    async def run() -> None:
        server = ControlServer(tmp_path / "control", Control(shop, EVERYTHING).handle, VERBS)
        async with asyncio.timeout(LIMIT_S):
            await server.start()
            try:
                await story(Client(tmp_path / "control"), shop)
            finally:
                await server.stop()

    asyncio.run(run())


def test_status_shows_every_terminal_and_the_line(tmp_path: Path) -> None:
    async def story(client: Client, shop: Shop) -> None:
        shop.lanes[TID].sells()
        said = await client.ask("status")
        assert [terminal["tid"] for terminal in said["terminals"]] == [TID, OTHER_TID]
        assert said["posd"]["running"]
        assert said["posd"]["up_s"] == 3600
        assert said["good"]
        shop.link_up, shop.link_why = False, "connection refused"
        said = await client.ask("status", tid=TID)
        assert len(said["terminals"]) == 1
        assert said["findings"][0]["code"] == "link_down"
        assert "connection refused" in said["findings"][0]["text"]
        shop.link_up, shop.troubles = True, ["clock_unsynchronised"]
        said = await client.ask("status")
        assert (said["findings"][0]["code"], said["good"]) == ("clock_unsynchronised", True)  # D24: it only alerts
        shop.troubles = ["disk_nearly_full"]
        said = await client.ask("status")
        assert (said["findings"][0]["code"], said["good"]) == ("disk_nearly_full", False)  # D32

    play(tmp_path, a_shop(TID, OTHER_TID), story)


def test_d36_questions_are_answered_as_from_the_state(tmp_path: Path) -> None:
    async def story(client: Client, shop: Shop) -> None:
        of = shop.lanes[TID].sells(1234)
        assert (await client.ask("txn.list"))["transactions"][0]["request_id"] == of
        assert (await client.ask("txn.show", id=of))["transaction"]["amount"] == "12.34"
        assert (await client.ask("reversals.list")) == {"reversals": []}
        assert "did you mean" in await client.refused("txn.list", bacth=3)
        assert "no terminal '99999999'" in await client.refused("status", tid="99999999")

    play(tmp_path, a_shop(), story)


def test_retry_hurries_one_or_all_and_says_what_there_is(tmp_path: Path) -> None:
    async def story(client: Client, shop: Shop) -> None:
        runner = shop.lanes[TID]
        assert await client.ask("reversals.retry") == {"done": []}
        of = runner.sticks()
        said = await client.ask("reversals.retry", id=of, by="Li")
        assert said["done"] == [{"tid": TID, "text": "1 reversal(s) will be tried now"}]
        assert runner.asked[-1].by == "Li"
        assert runner.state.exchange.request_id == of
        runner.answers("00")
        assert (await client.ask("reversals.list"))["reversals"] == []
        assert (await client.ask("reversals.list", ended=True))["reversals"][0]["status"] == "acknowledged"

    play(tmp_path, a_shop(), story)


def test_d36_resolve_wants_a_name_and_a_reason_and_acts_once(tmp_path: Path) -> None:
    async def story(client: Client, shop: Shop) -> None:
        runner = shop.lanes[TID]
        of = runner.sticks()
        assert "'by' is missing" in await client.refused("reversals.resolve", id=of, reason="agreed")
        assert "'by' is missing" in await client.refused("reversals.resolve", id=of, by="  ", reason="agreed")
        assert "'reason' is missing" in await client.refused("reversals.resolve", id=of, by="Wang")
        assert "card number" in await client.refused(
            "reversals.resolve", id=of, by="Wang", reason="card 6225880212345678901"
        )
        assert "one line" in await client.refused("reversals.resolve", id=of, by="Wang", reason="a\nb")
        assert runner.asked == []
        said = await client.ask("reversals.resolve", "wish-1", id=of, by="Wang", reason="refunded by the bank")
        assert said["reversal"]["resolved_by"] == "Wang"
        assert said["reversal"]["resolved_reason"] == "refunded by the bank"
        again = await client.ask("reversals.resolve", "wish-1", id=of, by="Wang", reason="refunded by the bank")
        assert again["text"] == said["text"]
        assert len(runner.commands) == 1
        assert "no such reversal" in await client.refused("reversals.resolve", id=of, by="Wang", reason="once more")

    play(tmp_path, a_shop(), story)


def test_settle_tells_each_phase_until_the_batch_is_closed(tmp_path: Path) -> None:
    async def story(client: Client, shop: Shop) -> None:
        runner = shop.lanes[TID]
        runner.sells(1000)
        asked = asyncio.create_task(client.ask("settle", by="Li"))
        for kind, answer in (("sign_in", runner.signs_in), ("totals", runner.agrees), ("trailer", runner.answers)):
            await until(lambda kind=kind: any(line["doing"] == kind for line in client.heard))  # type: ignore[misc]
            assert runner.state.exchange.kind == kind
            answer()
        said = await asked
        assert said["good"]
        assert said["terminals"][0]["outcome"] == "closed"
        assert said["terminals"][0]["close"]["outcome"] == "agreed"
        assert said["terminals"][0]["close"]["totals"]["domestic"]["debit_minor"] == 1000
        assert said["terminals"][0]["next_batch"] == 8
        assert [line["text"] for line in client.heard] == ["signing in", "comparing the totals", "closing the batch"]

    play(tmp_path, a_shop(), story)


def test_settle_with_nothing_to_settle_is_good(tmp_path: Path) -> None:
    async def story(client: Client, shop: Shop) -> None:
        said = await client.ask("settle", tid=TID)
        assert said["good"]
        assert said["terminals"][0]["outcome"] == "nothing"

    play(tmp_path, a_shop(), story)


def test_settle_that_cannot_begin_is_postponed_with_the_reason(tmp_path: Path) -> None:
    async def story(client: Client, shop: Shop) -> None:
        runner = shop.lanes[TID]
        runner.sells()
        runner.happen(e.LinkDown("cable pulled"))
        shop.link_up, shop.link_why = False, "cable pulled"
        said = await client.ask("settle")
        assert not said["good"]
        assert said["terminals"][0]["outcome"] == "postponed"
        assert "cable pulled" in said["terminals"][0]["reason"]
        assert runner.state.settlement.wanted == "operator"

    play(tmp_path, a_shop(), story)


def test_settle_held_by_a_reversal_says_so_and_goes_on_alone(tmp_path: Path) -> None:
    async def story(client: Client, shop: Shop) -> None:
        runner = shop.lanes[TID]
        runner.sells()
        runner.sells(code=None)
        runner.keeps_silent()
        asked = asyncio.create_task(client.ask("settle"))
        await until(lambda: bool(client.heard))
        while runner.state.exchange is not None:
            runner.signs_in() if runner.state.exchange.kind == "sign_in" else runner.keeps_silent()
        said = await asked
        assert said["terminals"][0]["outcome"] == "held"
        assert "1 reversal(s) not acknowledged yet" in said["terminals"][0]["reason"]
        assert runner.state.settlement.phase is SettlementPhase.DRAINING

    play(tmp_path, a_shop(), story)


def test_settle_is_watched_again_while_it_is_under_way(tmp_path: Path) -> None:
    async def story(client: Client, shop: Shop) -> None:
        runner = shop.lanes[TID]
        runner.sells()
        runner.happen(e.SettleNow("before", "Li"))
        runner.signs_in()
        asked = asyncio.create_task(client.ask("settle"))
        await until(lambda: bool(client.heard))
        assert client.heard[0]["doing"] == "totals"
        runner.agrees().answers("")
        assert (await asked)["terminals"][0]["close"]["outcome"] == "agreed"

    play(tmp_path, a_shop(), story)


def test_d36_leaving_cancels_nothing(tmp_path: Path) -> None:
    async def story(client: Client, shop: Shop) -> None:
        runner = shop.lanes[TID]
        runner.sells()
        reader, writer = await asyncio.open_unix_connection(client.path)
        writer.write(b'{"v":1,"id":"x","verb":"settle","args":{}}\n')
        await reader.readline()
        writer.transport.abort()
        runner.signs_in().agrees().answers("")
        await until(lambda: runner.state.batch.identity == 2)
        assert (await client.ask("status"))["terminals"][0]["last_close"]["outcome"] == "agreed"

    play(tmp_path, a_shop(), story)


def test_silence_of_the_host_is_filled_with_heartbeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "HEARTBEAT_S", 0.02)

    async def story(client: Client, shop: Shop) -> None:
        runner = shop.lanes[TID]
        runner.sells()
        asked = asyncio.create_task(client.ask("settle"))
        await until(lambda: sum(line["still"] for line in client.heard) >= 2)
        runner.fenced = "a test fenced it"  # no step follows: only the heartbeat sees it
        said = await asked
        assert said["terminals"][0]["outcome"] == "fenced"
        assert said["terminals"][0]["reason"] == "a test fenced it"

    play(tmp_path, a_shop(), story)


def test_settle_of_two_terminals_ends_when_both_have(tmp_path: Path) -> None:
    async def story(client: Client, shop: Shop) -> None:
        for runner in shop.lanes.values():
            runner.sells()
        asked = asyncio.create_task(client.ask("settle"))
        await until(lambda: {line["tid"] for line in client.heard} == {TID, OTHER_TID})
        for runner in shop.lanes.values():
            runner.signs_in().agrees().answers("")
        said = await asked
        assert [(one["tid"], one["outcome"]) for one in said["terminals"]] == [(TID, "closed"), (OTHER_TID, "closed")]

    play(tmp_path, a_shop(TID, OTHER_TID), story)


def test_d20_a_person_decides_an_unconfirmed_settlement(tmp_path: Path) -> None:
    async def story(client: Client, shop: Shop) -> None:
        runner = shop.lanes[TID]
        assert "which terminal" in await client.refused("settle.decide", by="Wang", reason="bank says", closed=True)
        assert "'closed': true" in await client.refused("settle.decide", tid=TID, by="Wang", reason="bank says")
        assert "'by'" in await client.refused("settle.decide", tid=TID, reason="bank says", closed=True)
        assert "'reason'" in await client.refused("settle.decide", tid=TID, by="Wang", closed=True)
        assert "no unconfirmed" in await client.refused("settle.decide", tid=TID, by="Wang", reason="r", closed=True)
        runner.sells()
        runner.happen(e.SettleNow("c", "Li"))
        runner.signs_in().keeps_silent()
        shop.clock.wait(1000)
        runner.happen(e.Tick())
        runner.answers("94")
        assert runner.state.settlement.phase is SettlementPhase.UNCONFIRMED
        runner.keeps_silent()
        said = await client.ask("settle.decide", tid=TID, by="Wang", reason="the bank shows it as paid", closed=True)
        assert said["text"] == "decided by Wang"
        assert runner.state.last_close.outcome == "unconfirmed"

    play(tmp_path, a_shop(TID, OTHER_TID), story)


def test_d23_a_person_approves_a_held_settlement_once(tmp_path: Path) -> None:
    async def story(client: Client, shop: Shop) -> None:
        runner = shop.lanes[TID]
        engine = runner.lane.engine
        engine.rules = replace(engine.rules, settle_maximum_minor=500)
        runner.sells(1000)
        wish = {"tid": TID, "by": "Wang", "reason": "slips checked"}
        assert "nothing was approved" in await client.refused("settle.approve", **wish)
        shop.clock.wait(14 * 3600)
        runner.happen(e.Tick())
        assert "'by' is missing" in await client.refused("settle.approve", tid=TID, reason="r")
        assert "'reason' is missing" in await client.refused("settle.approve", tid=TID, by="Wang")
        assert "must be a whole number" in await client.refused("settle.approve", batch="7", **wish)
        assert "batch 000009 is not the open one" in await client.refused("settle.approve", batch=9, **wish)
        assert "card number" in await client.refused("settle.approve", tid=TID, by="Wang", reason="6225880212345678901")
        assert f"held: {TID}" in await client.refused("settle.approve", by="Wang", reason="r")
        said = await client.ask("settle.approve", "wish-1", **wish)
        assert said == {"tid": TID, "text": "approved by Wang; the settlement begins", "waits": False}
        assert await client.ask("settle.approve", "wish-1", **wish) == said, "the same wish acts once"
        assert "nothing is sent twice" in await client.refused("settle.approve", **wish)
        runner.signs_in().agrees().answers("")
        assert runner.state.last_close.outcome == "agreed"
        approved = [event for event in runner.asked if isinstance(event, e.ApproveSettlement)]
        assert [(event.by, event.reason, event.batch) for event in approved][-2] == ("Wang", "slips checked", None)

    play(tmp_path, a_shop(TID, OTHER_TID), story)
