"""What a terminal asks while posd ends: nothing new is sent, and of what was asked before nobody is told a lie."""

import asyncio
from collections.abc import Callable

from tests.daemon.stage import CARD, EXPIRY, SECOND, TID, Stage, play

MakeStage = Callable[..., Stage]


def test_d6_a_repeat_while_posd_stops_is_answered_as_the_first(staged: MakeStage) -> None:
    """Told 91, the terminal would sell again, and the customer pay twice."""

    async def story(stage: Stage) -> None:
        await stage.start()
        for name in ("", "twin"):
            await stage.terminal(TID, name).do({"do": "echo"})
        await stage.terminal(SECOND).do({"do": "echo"})
        sale = {"do": "sale", "amount": "1.00", "card": CARD, "expiry": EXPIRY}
        first = asyncio.create_task(stage.terminal().do(sale))
        await stage.until(lambda: stage.received("0200"))
        stage.daemon.stop()
        await stage.until(lambda: "stopping" in stage.events())
        again = asyncio.create_task(stage.terminal(TID, "twin").do(sale))
        other = await stage.sale("2.00", SECOND)
        assert other["code"] == "91"
        assert (await first)["outcome"] == (await again)["outcome"] == "approved"
        await stage.life
        assert len(stage.received("0200")) == 1
        assert stage.differences() == []

    slow = {"do": "delay", "mti": "0200", "amount": "1.00", "ms": 1000}
    play(staged(tids=(TID, SECOND), faults=(slow,), change={"host": {"reply_timeout_s": 2}}), story)
