"""A lane under attack: what it forgets, what it never sends twice, and what a fence holds off from the others."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from posd.core import effects as fx
from posd.core import events as e
from posd.core.state import TxnStatus
from posd.daemon.lane import ASKED_MAX
from posd.errors import CannotEncode, InvariantBroken, KeyTrouble, StorageFailed
from posd.values import RequestId, Tid
from tests.daemon.stage import CARD, EXPIRY, MID, SECOND, TID, TMK, Stage, play, write_keys

MakeStage = Callable[..., Stage]
FENCED = frozenset({"lane_fenced"})
OTHER_TMK = "FEDCBA98765432100123456789ABCDEF"


def memory(stage: Stage, tid: str = TID) -> Any:
    return stage.daemon.lanes[Tid(tid)].lane._memory


def test_d1_a_request_that_cannot_be_said_to_the_host_is_refused_once_and_fences_nobody(
    staged: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        profile = stage.daemon.lanes[Tid(TID)].lane.profile
        encode = profile.encode

        def mute(message: fx.HostMessage, *rest: Any) -> Any:
            if isinstance(message, fx.SendTransaction) and message.transaction.amount_minor == 666:
                raise CannotEncode("0200: a test does not want it")
            return encode(message, *rest)

        monkeypatch.setattr(profile, "encode", mute)
        refused = await stage.sale("6.66")
        assert refused["code"] == "30"
        assert memory(stage).requests == memory(stage).cards == memory(stage).asked == {}
        assert stage.daemon.lanes[Tid(TID)].fenced == ""
        # also one that waited for its turn behind another
        first = stage.terminal(name="a")
        first.terminal.stan = 100  # what was refused under a number stays refused under it
        both = await asyncio.gather(
            first.do({"do": "sale", "amount": "1.00", "card": CARD, "expiry": EXPIRY}),
            _later(stage, "6.66"),
        )
        assert [result["code"] for result in both] == ["00", "30"]
        assert memory(stage).requests == memory(stage).cards == memory(stage).asked == {}
        assert (await stage.sale("2.00"))["outcome"] == "approved"

    play(staged(faults=({"mti": "0200", "amount": "1.00", "do": "delay", "ms": 100},)), story)


async def _later(stage: Stage, amount: str) -> dict[str, Any]:
    await stage.until(lambda: stage.received("0200"))
    other = stage.terminal(name="b")
    other.terminal.stan = 500
    return await other.do({"do": "sale", "amount": amount, "card": CARD, "expiry": EXPIRY})


def test_card_data_lives_no_longer_than_its_request(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        terminal = stage.terminal()
        await terminal.do({"do": "sign_in"})
        await stage.sale("1.00", pin="123456")
        await stage.sale("0.00")
        await stage.sale("2.00", card="6225880999999999")
        await stage.sale("3.07")
        await terminal.do({"do": "void", "of_stan": 2})
        await terminal.do({"do": "void", "of_stan": 2})
        await terminal.do({"do": "balance", "card": CARD, "expiry": EXPIRY})
        await terminal.do({"do": "repeat", "stan": 2})
        await terminal.do({"do": "reverse", "stan": 5})
        await stage.until(lambda: not stage.state().unended_reversals())
        assert memory(stage).requests == memory(stage).cards == memory(stage).asked == {}
        assert memory(stage).riding == [] or len(memory(stage).riding) < 5

    play(staged(faults=({"mti": "0200", "amount": "*07", "do": "lose_answer"},)), story)


def test_askers_that_are_never_answered_are_forgotten(staged: MakeStage) -> None:
    """The host does not sign us in: sign-ins of the terminal wait, and only so many are remembered."""

    async def story(stage: Stage) -> None:
        await stage.start(signed_in=False)
        terminal = stage.terminal()
        for _ in range(ASKED_MAX + 50):
            await terminal.do({"do": "sign_in", "timeout_s": 0.0005})
        await stage.until(lambda: stage.daemon.lanes[Tid(TID)].resting)
        assert 0 < len(memory(stage).asked) <= ASKED_MAX
        await terminal.close()
        await stage.until(lambda: not memory(stage).asked)

    play(staged(faults=({"mti": "0800", "do": "lose_request"},)), story)


def test_an_answer_sent_by_a_terminal_is_not_answered_and_not_remembered(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        terminal = stage.terminal()
        sent = terminal.terminal.echo()
        body = terminal.terminal.codec.encode(sent.message.__class__("0830", sent.message.fields))
        frame = terminal.tpdu + terminal.header + body
        data = (len(frame).to_bytes(2, "big") + frame).hex()
        assert (await terminal.do({"do": "raw", "hex": data, "timeout_s": 0.1}))["outcome"] == "no_answer"
        assert memory(stage).asked == {}
        assert (await stage.sale("1.00"))["outcome"] == "approved"

    play(staged(), story)


def test_d33_a_request_of_an_old_batch_is_never_sent_again(staged: MakeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """D6: the key is known for ever, also when its batch has left the state (D33)."""
    monkeypatch.setattr("posd.core.fold.settlement.EARLIER_MAX", 0)

    async def story(stage: Stage) -> None:
        await stage.start()
        runner = stage.daemon.lanes[Tid(TID)]
        await stage.sale("1.00")
        for number in (2, 3):
            await runner.command(e.SettleNow(f"settle-{number}", "anna"))
            await stage.until(lambda number=number: stage.state().batch.identity == number)  # type: ignore[misc]
            await stage.until(lambda: stage.state().session.signed_in)
            await stage.sale(f"{number}.00")
        again = await stage.terminal().do({"do": "repeat", "stan": 1})
        assert again["code"] == "94"
        assert len([said for said in stage.received("0200") if said["amount"] == 100]) == 1
        await runner.command(e.SettleNow("last", "anna"))
        await stage.until(lambda: stage.state().batch.identity == 4)
        await stage.end()
        assert stage.differences() == []

    play(staged(), story)


def test_d26_keys_that_another_tmk_does_not_open_are_dropped_at_the_start(staged: MakeStage) -> None:
    """Signed in by the journal (D26), but nothing could be said: sign in anew, say so, keep trying."""

    async def story(stage: Stage) -> None:
        await stage.start()
        await stage.sale("1.00")
        await stage.end()
        write_keys(stage.folder, [TID], OTHER_TMK)
        await stage.start(signed_in=False)
        await stage.until(lambda: "check value" in stage.state().session.out_because)
        assert (await stage.sale("2.00"))["code"] == "91"
        assert stage.daemon.lanes[Tid(TID)].fenced == ""
        tries = len(stage.received("0800"))
        await stage.until(lambda: len(stage.received("0800")) > tries)
        await stage.end()
        write_keys(stage.folder, [TID], TMK)
        await stage.start()
        assert (await stage.sale("3.00"))["outcome"] == "approved"
        await stage.end()
        assert stage.differences() == []

    play(staged(change={"host": {"reply_timeout_s": 0.5}, "door": {"terminal_timeout_s": 1.2}}), story)


@pytest.mark.parametrize("bug", [InvariantBroken("planted"), KeyError("planted"), TypeError("planted")], ids=repr)
def test_d4_a_bug_in_one_lane_is_its_fence_and_nobody_elses(
    staged: MakeStage, monkeypatch: pytest.MonkeyPatch, bug: Exception
) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        await stage.sale("5.00")
        runner = stage.daemon.lanes[Tid(TID)]
        engine = runner.lane.engine
        handle = engine.handle

        def broken(event: e.Event, now: Any) -> Any:
            if isinstance(event, e.TransactionRequested):
                raise bug
            return handle(event, now)

        monkeypatch.setattr(engine, "handle", broken)
        before = stage.state()
        assert (await stage.sale("1.00"))["code"] == "96"
        assert runner.fenced
        assert "6225" not in runner.fenced
        assert (await stage.sale("1.50"))["code"] == "96"
        assert (await stage.terminal().do({"do": "void", "of_stan": 1}))["code"] == "96"
        assert stage.state() is before
        assert memory(stage).requests == memory(stage).cards == {}
        done = await asyncio.wait_for(runner.command(e.SettleNow("x", "anna")), 1)
        assert (done.ok, "fenced" in done.text) == (False, True)
        assert (await stage.sale("2.00", SECOND))["outcome"] == "approved"
        assert not stage.life.done()
        await stage.end()
        await stage.start()
        assert (await stage.sale("3.00"))["outcome"] == "approved"
        await stage.end()
        assert stage.differences() == []

    play(staged(tids=(TID, SECOND)), story, may_say=FENCED)


def test_a_command_that_meets_a_new_fence_is_answered(staged: MakeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        runner = stage.daemon.lanes[Tid(TID)]

        def broken(event: e.Event, now: Any) -> Any:
            raise InvariantBroken("planted")

        monkeypatch.setattr(runner.lane.engine, "handle", broken)
        done = await asyncio.wait_for(runner.command(e.SettleNow("x", "anna")), 2)
        assert (done.ok, "planted" in done.text) == (False, True)

    play(staged(), story, may_say=FENCED)


def test_d4_a_failing_disk_is_not_a_fence(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        stage.rig.fail_next()
        await stage.sale("1.00", timeout_s=1)
        with pytest.raises(StorageFailed):
            await stage.life
        assert stage.daemon.lanes[Tid(TID)].fenced == ""

    play(staged(), story)


def test_the_terminals_own_reversal_ends_an_approved_sale(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        terminal = stage.terminal()
        await stage.sale("1.00")
        assert (await terminal.do({"do": "reverse", "stan": 1}))["code"] == "00"
        await stage.until(lambda: not stage.state().unended_reversals())
        (txn,) = stage.state().transactions.values()
        assert txn.status is TxnStatus.REVERSED
        # a reversal of what never was: 25, and the late original is refused (D17)
        ghost = terminal.terminal.sale(_card(), 700)
        assert (await terminal.do({"do": "reverse", "stan": ghost.stan}))["code"] == "25"
        assert (await terminal.exchange(ghost, 2))["code"] == "12"
        assert len(stage.received("0200")) == 1
        await stage.end()
        assert stage.differences() == []

    play(staged(), story)


def test_d25_the_terminals_own_0500_is_answered_and_starts_ours(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        await stage.sale("1.00")
        await stage.sale("2.50")
        result = await stage.terminal().do({"do": "settle"})
        assert (result["outcome"], result["next_batch"]) == ("balanced", 2)
        await stage.until(lambda: stage.state().batch.identity == 2)
        await stage.until(lambda: stage.state().session.signed_in)
        assert stage.state().last_close is not None
        assert stage.state().last_close.outcome == "agreed"  # type: ignore[union-attr]
        assert (await stage.sale("3.00"))["outcome"] == "approved"
        await stage.end()
        (terminal,) = stage.acquirer.dump()["terminals"]
        assert [batch["state"] for batch in terminal["batches"]] == ["closed", "open"]
        assert stage.differences() == []

    play(staged(), story)


def _card() -> Any:
    from simulators.terminal.core import CardInHand

    return CardInHand(CARD, EXPIRY)


def test_d28_a_terminal_that_must_sign_its_messages_and_does_not_is_refused(staged: MakeStage) -> None:
    """D28."""

    async def story(stage: Stage) -> None:
        stage.settings["terminals"][0]["mac"] = "required"
        await stage.start()
        plain = stage.terminal(name="plain", tmk=None)
        assert (await plain.do({"do": "sale", "amount": "1.00", "card": CARD, "expiry": EXPIRY}))["code"] == "A0"
        signed = stage.terminal()
        await signed.do({"do": "sign_in"})
        result = await stage.sale("1.00")
        assert result["outcome"] == "approved"
        assert stage.received("0200") != []
        assert stage.received("0200")[0]["amount"] == 100

    play(staged(), story)
    assert MID


def asked_of_the_journal(stage: Stage) -> list[str]:
    """The requests of which the lane asks the journal, from now on."""
    lane = stage.daemon.lanes[Tid(TID)].lane
    asked: list[str] = []
    open_facts = lane._past._sealed_facts

    def noting(request_id: str) -> bytes | None:
        asked.append(request_id)
        return open_facts(request_id)

    lane._past._sealed_facts = noting
    return asked


def test_d6_what_left_once_is_known_though_the_journal_is_seldom_asked(staged: MakeStage) -> None:
    """D6: whatever the highest request is, the lane says of any other what the journal says of it."""

    async def story(stage: Stage) -> None:
        await stage.start()
        for start in (1, 40, 7, 900, 3):  # counting up, a leap, and a terminal that was reset
            stage.terminal().terminal.stan = start
            asked = asked_of_the_journal(stage)
            for amount in ("1.00", "0.00", "2.00"):
                await stage.sale(amount)
            assert (asked == []) == (start in (1, 40, 900))
            agrees_with_the_journal(stage)
        await stage.end()
        await stage.start()
        agrees_with_the_journal(stage)
        asked = asked_of_the_journal(stage)
        stage.terminal().terminal.stan = 950
        assert (await stage.sale("3.00"))["outcome"] == "approved"
        assert asked == []
        stage.terminal().terminal.stan = 42
        assert (await stage.sale("3.00"))["code"] == "94"
        agrees_with_the_journal(stage)

    play(staged(), story)


def agrees_with_the_journal(stage: Stage) -> None:
    lane = stage.daemon.lanes[Tid(TID)].lane
    batches = ("000000", "000001", "000002", "999999")
    stans = (f"{number:06d}" for number in (*range(1, 12), *range(38, 45), *range(898, 906), 949, 950, 999_999))
    requests = [f"{TID}/{batch}/{stan}/0200/000000" for stan in stans for batch in batches]
    sent = [request for request in requests if lane._past.was_sent(RequestId(request))]
    assert sent == [request for request in requests if stage.rig.secret(request) is not None]
    assert sent != []
    assert not lane._past.was_sent(RequestId(f"{SECOND}/000001/000001/0200/000000"))


def test_a_lane_that_knows_no_highest_request_asks_each_time(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        stage.daemon.lanes[Tid(TID)].lane._past._highest = None
        asked = asked_of_the_journal(stage)
        await stage.sale("1.00")
        await stage.sale("2.00")
        assert len(asked) == 2

    play(staged(), story)


def test_d21_one_card_that_the_vault_does_not_open_keeps_no_other_from_the_upload(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        for amount in ("1.00", "2.00", "3.00"):
            assert (await stage.sale(amount))["outcome"] == "approved"
        lane = stage.daemon.lanes[Tid(TID)].lane
        bad = list(stage.state().transactions)[1]
        open_facts = lane._past._sealed_facts

        def closed(request_id: RequestId) -> bytes | None:
            if request_id == bad:
                raise KeyTrouble("the data key of this row is missing")
            return open_facts(request_id)

        lane._past._sealed_facts = closed
        await stage.daemon.lanes[Tid(TID)].command(e.SettleNow("settle", "Li Wei"))
        await stage.until(lambda: stage.state().last_close is not None)
        settlement = stage.acquirer.dump()["terminals"][0]["batches"][0]["settlements"][0]
        assert (settlement["uploaded"], settlement["matched"], settlement["end_count_agrees"]) == (2, 2, True)
        (alert,) = stage.alerts("upload_set_aside")
        assert (alert["request_id"], alert["items"]) == (bad, 1)
        assert "data key" in alert["because"]

    play(staged(behaviour={"unbalance": "both"}), story)
