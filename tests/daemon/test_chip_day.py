"""Days with chips through the whole daemon, before a host that keeps its own books and notes every deviation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posd.core import events as e
from posd.core.state import CloseOutcome, SettlementPhase
from posd.values import Tid
from tests.daemon.stage import CARD, EXPIRY, TID, Stage, play

MakeStage = Callable[..., Stage]
CHIP = {"entry": "051"}
SCRIPT = "720F9F180400000001860684240000020101"
DIFFERENCES = {"terminal_items_differ", "terminal_totals_differ", "terminal_upload_incomplete"}


async def settled(stage: Stage) -> CloseOutcome:
    before = stage.state().batch.identity
    done = await stage.daemon.lanes[Tid(TID)].command(e.SettleNow("settle", "Li Wei"))
    assert done.ok, done.text
    await stage.until(lambda: stage.state().batch.identity > before)
    assert stage.state().last_close is not None
    return stage.state().last_close.outcome


def batch(stage: Stage, number: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = stage.acquirer.dump()["terminals"][0]["batches"][number]
    return found


def settlement(stage: Stage) -> dict[str, Any]:
    found: dict[str, Any] = batch(stage)["settlements"][-1]
    return found


def conforms(stage: Stage) -> None:
    """Nothing that we said to the host was odd."""
    terminal = stage.acquirer.dump()["terminals"][0]
    assert terminal["conformance"] == []
    assert settlement(stage)["chip_odd"] == []
    assert settlement(stage)["chip_missing"] == []


async def step(stage: Stage, do: str, **more: Any) -> dict[str, Any]:
    return await stage.terminal().do({"do": do, "card": CARD, "expiry": EXPIRY, "entry": "051", **more})


def test_a_day_of_chips_that_agrees_with_every_kind_of_detail(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        await stage.terminal().do({"do": "sign_in"})
        bought = await step(stage, "sale", amount="10.00")
        assert bought["issuer_authentication"] is True, "what the issuer says reaches the chip"
        held = await step(stage, "preauth", amount="30.00")
        refused = await step(stage, "sale", amount="7.00")
        assert {one["outcome"] for one in (bought, held, refused)} == {"approved"}
        assert (await stage.terminal().do({"do": "chip_refusal", "of_stan": refused["stan"]}))["code"] == "00"
        await stage.until(lambda: not stage.state().unended_reversals())
        await stage.sale("5.00")
        assert await settled(stage) is CloseOutcome.AGREED
        said = settlement(stage)
        assert (said["end_code"], said["end_count"], said["chip_details"], said["chip_failed"]) == ("207", 3, 3, 1)
        conforms(stage)
        await stage.end()
        assert stage.differences() == []

    play(staged(card={"issuer_auth": True}), story)


def test_an_unbalanced_day_of_all_kinds_with_a_kill_amid_the_details(staged: MakeStage) -> None:
    """D21: the details go on from the durable cursor, each under the number of its request."""
    lost = {"mti": "0320", "nth": 3, "do": "lose_answer"}

    async def story(stage: Stage) -> None:
        await stage.start()
        await stage.terminal().do({"do": "sign_in"})
        chips = [await step(stage, "sale", amount=f"{n}.00") for n in range(1, 5)]
        assert {one["outcome"] for one in chips} == {"approved"}
        await step(stage, "offline_sale", amount="6.00", entry="012")
        await stage.sale("5.00")
        await stage.until(lambda: not stage.state().undelivered_advices())
        await stage.terminal().do({"do": "chip_refusal", "of_stan": chips[0]["stan"]})
        await stage.until(lambda: not stage.state().unended_reversals())
        before = stage.state().batch.identity
        asked = stage.daemon.lanes[Tid(TID)].command(e.SettleNow("settle", "Li Wei"))
        assert (await asked).ok
        await stage.until(lambda: stage.state().settlement.uploaded == 2 and stage.state().settlement.in_flight)
        stage.rig.fail_next(keeps=False)
        with pytest.raises(Exception, match="rig"):
            await stage.life
        assert stage.state().settlement.phase is SettlementPhase.UPLOADING
        await stage.start(signed_in=False)
        await stage.until(lambda: stage.state().batch.identity > before)
        assert stage.state().last_close is not None
        assert stage.state().last_close.outcome is CloseOutcome.OUT_OF_BALANCE
        said = settlement(stage)
        assert (said["matched"], said["differences"], said["end_count_agrees"]) == (2, [], True)
        assert (said["end_code"], said["chip_details"], said["chip_failed"]) == ("202", 4, 1)
        conforms(stage)
        await stage.end()

    play(staged(behaviour={"unbalance": "both"}, faults=(lost,)), story)


def test_the_terminals_own_close_with_details_differs_in_nothing(staged: MakeStage) -> None:
    """D25: what it tells of its chips is taken over, and its words reach the host."""

    async def story(stage: Stage) -> None:
        await stage.start()
        terminal = stage.terminal()
        await terminal.do({"do": "sign_in"})
        await step(stage, "sale", amount="10.00")
        await step(stage, "preauth", amount="30.00")
        refused = await step(stage, "sale", amount="7.00")
        await terminal.do({"do": "chip_refusal", "of_stan": refused["stan"]})
        before = stage.state().batch.identity
        assert (await terminal.do({"do": "settle"}))["outcome"] == "balanced"
        await stage.until(lambda: stage.state().batch.identity > before)
        assert stage.events().isdisjoint(
            {"terminal_items_differ", "terminal_totals_differ", "terminal_upload_incomplete"}
        )
        assert settlement(stage)["chip_details"] == 3
        conforms(stage)
        await stage.end()
        assert stage.differences() == []

    play(staged(), story)


def test_p5_what_a_chip_says_of_its_card_is_nowhere_on_the_disk(staged: MakeStage) -> None:
    """Number, track, name: not as text, not as bytes; not in the request, its reversal, its detail, or the answer."""
    digits, track = bytes.fromhex(CARD), bytes.fromhex("6225880123456789D30122019988776655443F")
    name, discretionary = b"CANARY/CARD HOLDER", b"990011223344556677"

    async def story(stage: Stage) -> None:
        await stage.start()
        terminal = stage.terminal()
        await terminal.do({"do": "sign_in"})
        told = [("57", track), ("5A", digits), ("5F20", name), ("9F1F", discretionary)]
        kept = terminal.terminal._tags

        def with_secrets(*asked: Any) -> Any:
            tags = kept(*asked)
            return None if tags is None else {**tags, **dict(told)}

        stage.patch.setattr(type(terminal.terminal), "_tags", lambda self, *asked: with_secrets(*asked))
        await step(stage, "sale", amount="10.00")
        refused = await step(stage, "sale", amount="7.13")
        await terminal.do({"do": "chip_refusal", "of_stan": refused["stan"]})
        await stage.until(lambda: not stage.state().unended_reversals())
        assert await settled(stage) is CloseOutcome.AGREED
        conforms(stage)
        await stage.end()
        for path in Path(stage.folder).rglob("*"):
            content = path.read_bytes() if path.is_file() and path.suffix != ".yaml" else b""
            for secret in (digits, track, name, discretionary, CARD.encode()):
                assert secret not in content, path
                assert secret.hex().upper().encode() not in content, path

    play(staged(), story)


def test_a_reversal_of_a_chip_sale_without_an_answer_has_the_five_tags(staged: MakeStage) -> None:
    lost = {"mti": "0200", "nth": 1, "do": "lose_answer"}

    async def story(stage: Stage) -> None:
        await stage.start()
        await stage.terminal().do({"do": "sign_in"})
        assert (await step(stage, "sale", amount="9.00"))["code"] == "98"
        await stage.until(lambda: bool(stage.state().reversals) and not stage.state().unended_reversals())
        terminal = stage.acquirer.dump()["terminals"][0]
        assert terminal["conformance"] == []
        assert batch(stage)["transactions"][0]["state"] == "reversed"
        await stage.end()
        assert stage.differences() == []

    play(staged(faults=(lost,)), story)
