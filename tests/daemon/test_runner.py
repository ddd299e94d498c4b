"""Rule 0, with a real journal, real sockets and a disk that is slow or fails: durable, then true, then done."""

import asyncio
from collections.abc import Callable

import pytest

from posd.core import events as e
from posd.core.state import TxnStatus
from posd.daemon.runner import INBOX_ANSWERS_MAX, INBOX_ITEMS_MAX
from posd.daemon.steps import Happened
from posd.errors import StorageFailed
from posd.values import RequestId, Tid
from tests.daemon.stage import TID, Stage, play

MakeStage = Callable[..., Stage]


def test_d1_nothing_arrives_anywhere_before_its_rows_are_durable(staged: MakeStage) -> None:
    """The disk takes 15 ms a write: what is sent at once arrives long before. `play` looks at the host's side."""

    async def story(stage: Stage) -> None:
        await stage.start()
        for amount in ("1.00", "2.07", "3.00"):
            result = await stage.sale(amount)
            out = {(row.mti, row.stan) for row in stage.rig.messages("out", "terminal")}
            assert ("0210", result["stan"]) in out
        await stage.until(lambda: stage.received("0400"))
        await stage.until(lambda: not stage.state().unended_reversals())
        await stage.end()
        assert stage.differences() == []

    stage = staged(slow_s=0.015, faults=({"mti": "0200", "amount": "*07", "do": "lose_answer"},))
    play(stage, story)
    assert len(stage.received("0200")) == 3


def test_the_order_test_can_fail(staged: MakeStage) -> None:
    """A runner that performs before it appends is caught by the host's watch."""

    async def story(stage: Stage) -> None:
        await stage.start()
        runner = stage.daemon.lanes[Tid(TID)]
        live_through = type(runner)._live_through

        async def hasty(item: object) -> None:
            if not isinstance(item, Happened):
                for step in runner.lane.steps(item, runner._now()):  # type: ignore[arg-type]
                    runner.lane.adopt(step)
                    runner._perform(step)
                    await runner._writer.append(step.rows)
                return
            await live_through(runner, item)  # type: ignore[arg-type]

        runner._live_through = hasty  # type: ignore[method-assign]
        await stage.sale("1.00")

    stage = staged(slow_s=0.02)
    with pytest.raises(AssertionError):
        play(stage, story)
    assert stage.early != []


@pytest.mark.parametrize("keeps", [False, True], ids=["lost", "durable"])
def test_d1_a_failed_write_lets_nothing_out_and_ends_posd(staged: MakeStage, keeps: bool) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        stage.rig.fail_next(keeps)
        result = await stage.sale("1.00")
        assert result["outcome"] in ("line_cut", "no_answer")
        with pytest.raises(StorageFailed, match="the rig's disk failed"):
            await stage.life
        assert stage.received("0200") == []
        # the next start knows the sale only if its rows survived; then it is owed a reversal, sent or not
        await stage.start()
        await stage.until(lambda: len(stage.received("0400")) == (1 if keeps else 0))
        await stage.until(lambda: not stage.state().unended_reversals() and stage.state().exchange is None)
        assert (await stage.sale("2.00"))["outcome"] == "approved"
        await stage.end()
        assert stage.differences() == []

    play(staged(), story)


@pytest.mark.parametrize("keeps", [False, True], ids=["lost", "durable"])
@pytest.mark.parametrize("write", range(1, 7))
def test_a_disk_that_fails_at_any_write_of_a_sale_and_its_void_loses_no_money(
    staged: MakeStage, write: int, keeps: bool
) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        await stage.sale("10.00")
        stage.rig.fail_next(keeps, after=write - 1)
        terminal = stage.terminal()
        await stage.sale("1.00")
        await terminal.do({"do": "void", "of_stan": 1})
        await stage.sale("2.00")
        with pytest.raises(StorageFailed):
            await stage.life
        await stage.start()
        await stage.until(lambda: not stage.state().unended_reversals() and stage.state().exchange is None)
        await stage.end()
        assert stage.differences() == []

    play(staged(), story)


def test_d16_what_was_handed_over_is_written_with_the_next_commit(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        await stage.sale("1.00")
        first = RequestId(f"{TID}/000001/000001/0200/000000")
        assert stage.state().unconfirmed == (first,)
        assert stage.rig.records("answer_handed_over") == []
        writes = stage.rig.writes
        await stage.sale("2.00")
        assert [row.request_id for row in stage.rig.records("answer_handed_over")] == [first]
        assert stage.rig.writes == writes + 2  # two commits a transaction, none of its own (D31)

    play(staged(), story)


def test_d16_an_answer_that_nobody_took_is_not_handed_over(staged: MakeStage) -> None:
    """D16: the connection's end decides nothing; the approval stands, unconfirmed, until the terminal speaks."""

    async def story(stage: Stage) -> None:
        await stage.start()
        asking = asyncio.create_task(stage.sale("1.00", timeout_s=0.1))
        assert (await asking)["outcome"] == "no_answer"
        await stage.terminal().close()
        await stage.until(lambda: stage.state().unconfirmed)
        (txn,) = stage.state().transactions.values()
        assert (txn.status, txn.handed_over) == (TxnStatus.APPROVED, False)
        await asyncio.sleep(0.05)
        assert stage.state().unended_reversals() == []
        assert (await stage.terminal().do({"do": "repeat", "stan": 1}))["outcome"] == "approved"
        assert len(stage.received("0200")) == 1
        await stage.sale("2.00")
        assert stage.state().transactions[txn.request_id].handed_over
        await stage.end()
        assert stage.differences() == []

    play(staged(faults=({"mti": "0200", "nth": 1, "do": "delay", "ms": 250},)), story)


def test_d33_a_snapshot_and_the_records_after_it_give_the_same_state_as_all_records(
    staged: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("posd.daemon.runner.SNAPSHOT_ROWS", 20)

    async def story(stage: Stage) -> None:
        await stage.start()
        for number in range(6):
            await stage.sale(f"{number}.07" if number == 3 else f"{number + 1}.00")
        await stage.terminal().do({"do": "void", "of_stan": 1})
        await stage.until(lambda: not stage.state().unended_reversals())
        await stage.end()
        before = stage.state()
        replay = stage.rig.store.replay
        await stage.start()
        assert stage.rig.replay(TID, 10**9).snapshot is None
        del replay
        after = stage.state()
        assert after.transactions == before.transactions
        assert (after.batch, after.reversals, after.session) == (before.batch, before.reversals, before.session)

    play(staged(faults=({"mti": "0200", "amount": "*07", "do": "lose_answer"},)), story)


def test_d3_a_full_inbox_takes_no_more_requests_but_still_answers_of_the_host(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        runner = stage.daemon.lanes[Tid(TID)]
        stage.rig.slow_s = 0.3
        runner.offer(Happened(e.LinkDown("a test")))
        tick = Happened(e.HandedOver(RequestId("x")))
        while runner.offer(tick):
            pass
        assert len(runner._inbox) in (INBOX_ANSWERS_MAX, INBOX_ANSWERS_MAX + 1)
        assert INBOX_ITEMS_MAX < INBOX_ANSWERS_MAX
        assert runner.offer(Happened(e.LinkUp())), "a lane that misses this would wait for ever"

    play(staged(), story)


def test_ticks_do_not_pile_up(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        runner = stage.daemon.lanes[Tid(TID)]
        for _ in range(100):
            assert runner.offer(Happened(e.Tick()))
        assert len(runner._inbox) <= 1

    play(staged(), story)


def test_a_deadline_that_passes_while_the_disk_is_slow_is_met_at_once(staged: MakeStage) -> None:
    """No alert (`play` looks for it), and no second lost: the reply limit ends while another item is written."""

    async def story(stage: Stage) -> None:
        await stage.start()
        loop = asyncio.get_running_loop()
        sale = asyncio.create_task(stage.sale("1.00"))
        await stage.until(lambda: stage.received("0200"))
        began = loop.time()
        await asyncio.sleep(0.4)
        stage.rig.slow_s = 0.3
        await stage.terminal(name="other", tmk=None).do({"do": "echo", "timeout_s": 0.15})
        stage.rig.slow_s = 0
        assert (await sale)["code"] == "98"
        assert loop.time() - began < 1.4

    play(staged(faults=({"mti": "0200", "do": "lose_answer"},)), story)


def test_d4_a_deadline_that_stays_in_the_past_is_alerted_once_and_costs_no_cpu(
    staged: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        runner = stage.daemon.lanes[Tid(TID)]
        past_s = asyncio.get_running_loop().time() - 5
        monkeypatch.setattr(runner.lane.engine, "next_deadline_s", lambda now: past_s)
        before = runner.lived_through
        runner.offer(Happened(e.Tick()))
        await asyncio.sleep(0.4)
        assert runner.lived_through - before < 6

    stage = staged()
    play(stage, story, may_say=frozenset({"deadline_in_the_past"}))
    assert stage.log.getvalue().count("deadline_in_the_past") == 1


def test_d36_a_command_is_done_once_for_each_id(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        await stage.sale("1.00")
        runner = stage.daemon.lanes[Tid(TID)]
        first, second = await asyncio.gather(
            runner.command(e.SettleNow("id-1", "anna")), runner.command(e.SettleNow("id-1", "anna"))
        )
        assert first == second
        assert first.ok
        await stage.until(lambda: stage.state().batch.identity == 2)
        assert await runner.command(e.SettleNow("id-1", "anna")) == first
        await asyncio.sleep(0.05)
        assert stage.state().batch.identity == 2
        assert len(stage.received("0500")) == 1

    play(staged(), story)
