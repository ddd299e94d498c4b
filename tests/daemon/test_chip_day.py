"""Days with chips through the whole daemon, before a host that keeps its own books and notes every deviation."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posd.core import events as e
from posd.core.state import CloseOutcome, SettlementPhase
from posd.daemon.control.server import call
from posd.values import Tid
from tests.daemon.stage import CARD, EXPIRY, TID, Stage, play
from tests.simulators.counter import SCRIPT

MakeStage = Callable[..., Stage]
CHIP = {"entry": "051"}
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


# --- issuer scripts --------------------------------------------------------------------------------------------------


def script_of(stage: Stage, stan: int = 0) -> tuple[str, str]:
    """What the host knows of the script of the first transaction, or of the one of this trace."""
    entry = next(one for one in batch(stage)["transactions"] if stan in (0, one["stan"]))
    return entry["script"], entry["script_result"]


def test_d14_a_lost_answer_to_a_script_result_is_repeated_and_known(staged: MakeStage) -> None:
    """D14: the terminal is answered at once; the host gets it before the next sale, and again until it answers."""
    lost = {"mti": "0620", "nth": 1, "do": "lose_answer"}

    async def story(stage: Stage) -> None:
        await stage.start()
        terminal = stage.terminal()
        await terminal.do({"do": "sign_in"})
        bought = await step(stage, "sale", amount="10.00")
        assert bought["script"] is True, "the script reaches the chip"
        assert (await terminal.do({"do": "script_result", "of_stan": bought["stan"]}))["code"] == "00"
        await stage.until(lambda: not stage.state().undelivered_advices())
        assert len(stage.received("0620")) == 2
        assert script_of(stage) == ("reported", "2000000000")
        assert await settled(stage) is CloseOutcome.AGREED
        conforms(stage)
        assert stage.acquirer.dump()["terminals"][0]["remarks"] == []
        await stage.end()
        assert stage.differences() == []

    play(staged(card={"issuer_auth": True, "scripts": (SCRIPT,)}, faults=(lost,)), story)


def test_d19_script_results_go_before_the_reversals_and_the_totals(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        terminal = stage.terminal()
        await terminal.do({"do": "sign_in"})
        first, second = [await step(stage, "sale", amount=f"{n}.00") for n in (1, 2)]
        stage.hang_up()
        await stage.until(lambda: not stage.daemon.lanes[Tid(TID)].lane.engine.agenda.link_up)
        assert (await terminal.do({"do": "chip_refusal", "of_stan": second["stan"]}))["code"] == "00"
        assert (await terminal.do({"do": "script_result", "of_stan": first["stan"]}))["code"] == "00"
        await stage.host.mend(stage.host_port)
        await stage.until(lambda: not stage.state().undelivered_advices() and not stage.state().unended_reversals())
        said = [one["mti"] for one in stage.said if one["event"] == "received" and one["mti"] in ("0620", "0400")]
        assert said == ["0620", "0400"]
        assert await settled(stage) is CloseOutcome.AGREED
        conforms(stage)
        await stage.end()
        assert stage.differences() == []

    play(staged(card={"scripts": (SCRIPT,)}), story)


def test_a_terminal_that_never_tells_of_its_script_is_shown_and_nothing_is_invented(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        await stage.terminal().do({"do": "sign_in"})
        await step(stage, "sale", amount="10.00")
        view = await asyncio.to_thread(call, stage.folder / "control.sock", "status", {})
        (found,) = [one for one in view["findings"] if one["code"] == "scripts_not_told"]
        assert found["facts"]["count"] == 1
        assert await settled(stage) is CloseOutcome.AGREED
        assert stage.received("0620") == []
        assert "script_results_not_told" in stage.events()
        assert script_of(stage)[0] == "sent"
        await stage.end()

    play(staged(card={"scripts": (SCRIPT,)}), story)


# --- what the host says to people ------------------------------------------------------------------------------------

REMARKS = {"issuer": "发卡行：谢谢", "centre": "银联", "acquirer": "收单行", "terminal": "欢迎再来"}


def test_what_the_host_says_reaches_the_terminal_as_it_came_and_is_shown(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        terminal = stage.terminal()
        await terminal.do({"do": "sign_in"})
        bought = await step(stage, "sale", amount="10.00")
        printed: list[str | None] = []
        take = terminal.terminal.take

        def seen(sent: Any, answer: Any, body: bytes) -> Any:
            printed.append(answer.get(63))
            return take(sent, answer, body)

        stage.patch.setattr(type(terminal.terminal), "take", lambda self, *said: seen(*said))
        checked = await stage.terminal().do({"do": "balance", "card": CARD, "expiry": EXPIRY})
        await step(stage, "sale", amount="11.00")
        first, last = list(REMARKS.values())[:3], REMARKS["terminal"]
        raw = b"".join(text.encode("gbk").ljust(20) for text in first) + last.encode("gbk")
        wire = f"CUP{raw.decode('latin-1')}"
        assert printed == [wire, wire]
        assert checked["balances"]
        path, of = stage.folder / "control.sock", f"{TID}/{bought['stan']}"
        view = (await asyncio.to_thread(call, path, "txn.show", {"id": of}))["transaction"]
        assert (view["scheme"], view["remarks"]) == ("CUP", REMARKS)
        assert view["issuer"] == CARD[:8]
        assert view["chip"].startswith("accepted")
        asked = (await asyncio.to_thread(call, path, "txn.show", {"id": f"{TID}/{checked['stan']}"}))["transaction"]
        assert [one["kind"] for one in asked["balances"]] == ["available"]
        await stage.end()

    play(staged(card={"show_balance": True}, behaviour={"remarks": REMARKS}), story)
