"""Encrypted tracks through a whole posd: the host opens what it gets, and takes nothing clear (reference 1.12, D26)."""

from collections.abc import Callable
from typing import Any

import pytest

from simulators.macs import Keying
from tests.daemon.stage import CARD, Stage, play

MakeStage = Callable[..., Stage]

ENCRYPTED = Keying(tracks="encrypted")


def stage_of(staged: MakeStage, here: str, terminal: Keying, **more: Any) -> Stage:
    """A host that takes encrypted tracks only. `here`: whether posd encrypts."""
    return staged(
        change={"host": {"track_encryption": here}},
        behaviour={"keys": {"tracks": "encrypted"}},
        terminals={"sign_in_code": "004", "keying": terminal},
        **more,
    )


@pytest.mark.parametrize(("here", "terminal"), [("yes", Keying()), ("yes", ENCRYPTED), ("no", ENCRYPTED)])
def test_whoever_encrypts_them_the_host_can_open_them(staged: MakeStage, here: str, terminal: Keying) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        assert (await stage.terminal().do({"do": "sign_in"}))["outcome"] == "approved"
        assert (await stage.sale("1.00"))["outcome"] == "approved"
        assert (await stage.sale("1.50", pin="123456"))["outcome"] == "approved"
        assert (await stage.sale("2.13"))["code"] == "98"
        await stage.until(lambda: not stage.state().unended_reversals())
        await stage.end()
        assert stage.differences() == []
        tail = f"{CARD}=".encode()
        shown = [row.fields.encode() + row.raw for row in stage.rig.messages("out", "host", "0200")]
        assert len(shown) == 3
        assert not any(tail in text for text in shown)

    lost = {"mti": "0200", "amount": "*13", "do": "lose_answer"}
    play(stage_of(staged, here, terminal, faults=(lost,)), story)


def test_clear_tracks_that_nobody_encrypts_are_refused_by_such_a_host(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        assert (await stage.sale("1.00"))["code"] == "89"

    play(stage_of(staged, "no", Keying()), story)


def test_d26_tracks_under_an_older_key_are_not_sent(staged: MakeStage) -> None:
    """D26: the host forgot its keys, posd signed in again; the terminal has to as well."""

    async def story(stage: Stage) -> None:
        await stage.start()
        terminal = stage.terminal()
        assert (await terminal.do({"do": "sign_in"}))["outcome"] == "approved"
        assert (await stage.sale("1.00"))["code"] == "A0"
        await stage.until(lambda: stage.state().session.generation == 2 and stage.state().session.signed_in)
        sent = len(stage.received("0200"))
        assert (await stage.sale("2.00"))["code"] == "A0"
        assert len(stage.received("0200")) == sent
        assert (await terminal.do({"do": "sign_in"}))["outcome"] == "approved"
        assert (await stage.sale("3.00"))["outcome"] == "approved"
        await stage.end()
        assert stage.differences() == []

    forgets = {"mti": "0200", "nth": 1, "do": "forget_keys"}
    play(stage_of(staged, "yes", ENCRYPTED, faults=(forgets,)), story)


def test_what_posd_encrypts_itself_goes_on_after_new_keys(staged: MakeStage) -> None:
    """The terminal's tracks are clear: nothing of them hangs on the keys that it was given."""

    async def story(stage: Stage) -> None:
        await stage.start()
        assert (await stage.terminal().do({"do": "sign_in"}))["outcome"] == "approved"
        assert (await stage.sale("1.00"))["code"] == "A0"
        await stage.until(lambda: stage.state().session.generation == 2 and stage.state().session.signed_in)
        assert (await stage.sale("2.00"))["outcome"] == "approved"
        await stage.end()
        assert stage.differences() == []

    forgets = {"mti": "0200", "nth": 1, "do": "forget_keys"}
    play(stage_of(staged, "yes", Keying(), faults=(forgets,)), story)
