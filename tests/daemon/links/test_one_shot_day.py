"""A whole posd whose host takes one message per connection: what it knows of each stays true, and the money agrees."""

import asyncio
import json
from collections.abc import Callable

from posd.core.state import ReversalStatus, TxnStatus
from tests.daemon.stage import SECOND, TID, Stage, play

MakeStage = Callable[..., Stage]
ONE_SHOT = {"host": {"mode": "one_shot", "connect_timeout_s": 1.2, "reply_timeout_s": 1.5}}
"""Of what a test waits for in vain there is one such limit in it at most; all else waits for facts."""


def connections(stage: Stage) -> int:
    return sum(said["event"] == "connected" for said in stage.said)


def test_a_day_on_a_connection_for_each_message(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        for amount in ("1.00", "2.00", "3.00"):
            assert (await stage.sale(amount))["outcome"] == "approved"
        assert (await stage.sale("4.13"))["outcome"] != "approved"
        await stage.until(lambda: not stage.state().unended_reversals())
        await stage.terminal().do({"do": "settle"})
        await stage.until(lambda: stage.state().batch.identity == 2)
        await stage.until(lambda: stage.state().session.signed_in)
        messages = sum(said["event"] == "received" for said in stage.said)
        assert connections(stage) == messages + 1, "one for each message, and one that looked for the host"
        await stage.end()
        assert stage.differences() == []

    play(staged(faults=({"mti": "0200", "amount": "4.13", "do": "lose_answer"},), change=ONE_SHOT), story)


def test_an_echo_has_a_connection_of_its_own_too(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        await stage.until(lambda: len(stage.received("0820")) >= 3)
        await stage.until(lambda: len(stage.rig.records("echo_ended")) >= 3)
        assert "echo_unanswered" not in stage.events()
        assert (await stage.sale("1.00"))["outcome"] == "approved"

    play(staged(change={"host": {**ONE_SHOT["host"], "echo_interval_s": 0.05}}), story)


def test_d2_a_connection_that_ends_without_an_answer_is_reversed_before_the_reply_limit(staged: MakeStage) -> None:
    """And nobody else notices: the other terminal's exchange is under way meanwhile."""
    patient = {"host": {**ONE_SHOT["host"], "reply_timeout_s": 20}, "door": {"terminal_timeout_s": 30}}

    async def story(stage: Stage) -> None:
        await stage.start()
        held = stage.hold()
        other = stage.terminal(SECOND).do(
            {"do": "sale", "amount": "7.00", "card": "6225880000000014", "expiry": "3012", "timeout_s": 20}
        )
        slow = asyncio.create_task(other)
        await stage.until(lambda: held)
        assert (await stage.sale("5.00"))["outcome"] != "approved"
        await stage.until(lambda: not stage.state().unended_reversals())
        unknown = stage.rig.records("outcome_unknown")
        assert [(row.tid, json.loads(row.payload)["why"]) for row in unknown] == [(TID, "link")]
        held.pop()()
        assert (await slow)["outcome"] == "approved"
        assert (await stage.sale("6.00"))["outcome"] == "approved"
        await stage.end()
        assert stage.differences() == []

    faults = (
        {"mti": "0200", "amount": "5.00", "do": "close"},
        {"mti": "0200", "amount": "7.00", "do": "delay", "ms": 1},
    )
    play(staged(tids=(TID, SECOND), faults=faults, change=patient), story)


def test_d2_a_sale_without_a_connection_is_not_sent_and_owes_nothing(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        stage.hang_up()
        assert (await stage.sale("5.00"))["code"] == "91"
        await stage.until(lambda: not stage.daemon.link_up)
        assert [txn.status for txn in stage.state().transactions.values()] == [TxnStatus.NOT_SENT]
        assert not stage.state().unended_reversals()
        await stage.host._listen("127.0.0.1", stage.host_port)
        await stage.until(lambda: stage.daemon.link_up)
        assert (await stage.sale("6.00"))["outcome"] == "approved"
        assert not stage.received("0400")
        await stage.end()
        assert stage.differences() == []

    play(staged(change=ONE_SHOT), story)


def test_a_host_that_goes_away_uses_up_no_attempts(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        selling = asyncio.create_task(stage.sale("5.00"))
        await stage.until(lambda: stage.received("0200"))
        stage.hang_up()
        assert (await selling)["code"] == "98"
        await stage.until(lambda: not stage.daemon.link_up)
        (owed,) = stage.state().unended_reversals()  # an attempt that cannot leave is recorded, then taken back
        await stage.until(lambda: stage.state().reversals[owed.request_id].attempts == 0)
        assert stage.state().reversals[owed.request_id].status is ReversalStatus.OWED
        assert "refused" in stage.daemon.link_why
        await stage.host._listen("127.0.0.1", stage.host_port)
        await stage.until(lambda: stage.daemon.link_up)
        await stage.until(lambda: not stage.state().unended_reversals())
        assert (await stage.sale("6.00"))["outcome"] == "approved"
        await stage.end()
        assert stage.differences() == []

    faults = ({"mti": "0200", "amount": "5.00", "do": "lose_answer"},)
    play(staged(faults=faults, change=ONE_SHOT), story)


def test_d11_an_approval_that_comes_after_its_reversal_was_denied_is_heard(staged: MakeStage) -> None:
    """The reversal overtakes its request on a connection of its own: 25, then the approval on the first one."""

    async def story(stage: Stage) -> None:
        await stage.start()
        held = stage.hold()
        assert (await stage.sale("5.00"))["outcome"] != "approved"
        await stage.until(lambda: stage.rig.records("reversal_acknowledged"))
        held.pop()()
        await stage.until(lambda: stage.rig.records("reversal_reopened"))
        await stage.until(lambda: not stage.state().unended_reversals())
        assert len(stage.received("0400")) == 2
        await stage.end()
        assert stage.differences() == []

    faults = ({"mti": "0200", "amount": "5.00", "do": "delay_request", "ms": 1},)
    play(staged(faults=faults, change=ONE_SHOT), story)
