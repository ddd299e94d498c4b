"""An echo is never answered with an echo, whatever the host pours on the line: nothing leaves, little is written."""

from collections.abc import Callable

import pytest

from tests.daemon.stage import MID, TID, Stage, play
from tests.daemon.test_router import bytes_of, raw

MakeStage = Callable[..., Stage]
STORM = {"do": "echo_storm", "rate": 2000, "ms": 700, "times": 1}
ROWS_MAX = 40
"""What a storm of 1,400 messages may leave in the journal beside the sale itself: the minute's limit, and a little."""


def sent(stage: Stage, *mtis: str) -> list[str]:
    """What posd said to the host, by its own journal and by what came there."""
    rows = [row.mti for row in stage.rig.messages("out", "host") if row.mti in mtis]
    came = [said["mti"] for said in stage.said if said["event"] == "received" and said["mti"] in mtis]
    assert rows == came
    return rows


def test_an_echo_storm_brings_no_word_from_us(staged: MakeStage) -> None:
    """0830s that nobody asked for and 0820s in turn, while echoes are on: ours go on as they would."""

    async def story(stage: Stage) -> None:
        await stage.start()
        assert (await stage.sale("1.00"))["outcome"] == "approved"
        await stage.until(lambda: any(said["event"] == "storm over" for said in stage.said))
        over = next(said for said in stage.said if said["event"] == "storm over")
        assert over["sent"] > 500
        assert sent(stage, "0820", "0830") == []
        assert (await stage.sale("2.00"))["outcome"] == "approved"
        await stage.end()
        assert stage.differences() == []
        noise = [row for row in stage.rig.messages("in", "host") if row.mti in ("0820", "0830")]
        assert len(noise) + len(stage.rig.records("answer_unmatched")) < ROWS_MAX

    play(staged(faults=({"mti": "0200", **STORM},)), story)


@pytest.mark.parametrize("routes", [1, 2])
def test_our_own_echo_in_a_storm_is_one_echo(staged: MakeStage, routes: int) -> None:
    """The storm begins as the answer to our echo: each 0830 looks like that answer, each 0820 like a question."""

    async def story(stage: Stage) -> None:
        await stage.start()
        await stage.until(lambda: any(said["event"] == "storm over" for said in stage.said))
        assert len(sent(stage, "0820")) <= 3, "0.7 s of storm with an echo each 0.3 s"
        assert sent(stage, "0830") == []
        assert (await stage.sale("2.00"))["outcome"] == "approved"
        assert stage.daemon.link_up
        await stage.end()
        assert stage.differences() == []
        assert len([row for row in stage.rig.messages("in", "host") if row.mti in ("0820", "0830")]) < ROWS_MAX

    change = {"host": {"echo_interval_s": 0.3, "reply_timeout_s": 1}}
    play(staged(faults=({"mti": "0820", **STORM},), change=change, routes=routes), story)


def test_an_echo_answer_at_the_door_is_answered_with_nothing(staged: MakeStage) -> None:
    """Two that answer each other's echoes would never end: a terminal's 0820 has an answer, its 0830 has none."""

    async def story(stage: Stage) -> None:
        await stage.start()
        client = stage.terminal()
        echo = {41: TID, 42: MID, 60: "00000001301"}
        answered = await raw(stage, bytes_of(client, "0820", echo))
        assert (answered["outcome"], answered["mti"]) == ("answered", "0830")
        ignored = await raw(stage, bytes_of(client, "0830", {**echo, 39: "00"}))
        assert ignored["outcome"] == "no_answer"
        assert sent(stage, "0820", "0830") == []

    play(staged(), story)
