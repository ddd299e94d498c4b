"""What the line never took: told "not sent" at once, nothing owed, and no attempt of a reversal used up."""

import asyncio
from collections.abc import Callable
from typing import Any

from posd.core.state import TxnStatus
from tests.daemon.stage import Stage, play

MakeStage = Callable[..., Stage]
STUFFING = b"\0" * 16_000_000
"""More than the two kernels hold between them."""


def deaf(stage: Stage) -> None:
    """The host reads no more, and both kernels' buffers are full: whatever comes next waits in posd."""
    for connection in stage.host._connections.values():
        reading: Any = connection.writer.transport
        reading.pause_reading()
    channel = stage.daemon._link._routes[0].link._channel  # type: ignore[attr-defined]
    channel.send(STUFFING)
    assert channel.unsent_bytes


def statuses(stage: Stage) -> list[TxnStatus]:
    return [txn.status for txn in stage.state().transactions.values()]


def test_d2_a_sale_behind_a_line_that_takes_nothing_is_not_sent(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        deaf(stage)
        assert (await stage.sale("5.00"))["code"] == "91"
        assert statuses(stage) == [TxnStatus.NOT_SENT]
        assert not stage.state().unended_reversals()
        stage.cut()
        await stage.until(lambda: len(stage.rig.records("line_changed")) == 3)
        assert (await stage.sale("6.00"))["outcome"] == "approved"
        assert len(stage.received("0200")) == 1
        assert not stage.received("0400")
        await stage.end()
        assert stage.differences() == []

    play(staged(change={"host": {"reply_timeout_s": 0.5}}), story)


def test_d11_a_reversal_behind_such_a_line_has_no_unanswered_attempt(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        assert (await stage.sale("5.00"))["outcome"] == "approved"
        deaf(stage)
        assert (await stage.terminal().do({"do": "reverse", "stan": 1}))["code"] == "00"
        await stage.until(lambda: len(stage.rig.records("reversal_unanswered")) >= 2)
        (reversal,) = stage.state().unended_reversals()
        assert (reversal.unanswered, reversal.refused) == (0, 0)
        stage.cut()
        await stage.until(lambda: not stage.state().unended_reversals())
        assert len(stage.received("0400")) == 1
        await stage.end()
        assert stage.differences() == []

    play(staged(change={"host": {"reply_timeout_s": 0.3}}), story)


def test_d2_a_line_that_ends_tells_what_it_never_took_before_it_tells_that_it_ended(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        deaf(stage)
        selling = asyncio.create_task(stage.sale("5.00"))
        await stage.until(lambda: stage.state().exchange)
        stage.cut()
        assert (await selling)["code"] == "91"
        assert statuses(stage) == [TxnStatus.NOT_SENT]
        await stage.end()
        assert stage.differences() == []

    play(staged(), story)
