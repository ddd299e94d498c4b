"""`posd journal archive` in the running daemon: sales go on, and nothing that is old is forgotten (D33)."""

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from posd.core import events as e
from posd.daemon.clock import SystemClock
from posd.daemon.control.server import call
from posd.daemon.shown.offline import OfflineJournal
from posd.errors import StorageFailed
from posd.journal import archive, making
from posd.journal.segment import archive_folder
from posd.journal.verify import verify
from posd.security.machine import load_machine_key
from posd.values import Now, RequestId, Tid
from tests.daemon.stage import SECOND, TID, Stage, play

MakeStage = Callable[..., Stage]
DAY_MS = 86_400_000
LATER_MS = 70 * DAY_MS


@dataclass
class Later:
    """The archivist's clock: more than two months on, so that what is written now is of a month that is over."""

    clock: SystemClock

    def now(self) -> Now:
        now = self.clock.now()
        return Now(now.wall_ms + LATER_MS, now.monotonic_s)

    def monotonic_s(self) -> float:
        return self.clock.monotonic_s()


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posd.core.fold.settlement.EARLIER_MAX", 0)
    monkeypatch.setattr("posd.daemon.archive.beside.PAUSE_S", 0.001)
    for module in (making, archive):
        monkeypatch.setattr(module, "COPY_ROWS", 20)
    monkeypatch.setattr(archive, "REMOVE_ROWS", 20)


def is_later(stage: Stage) -> None:
    archivist: Any = stage.daemon.archivist
    archivist._clock = Later(SystemClock())


@dataclass
class Ahead:
    """By how much the machine's clock is ahead."""

    ms: int = 0


@pytest.fixture(autouse=True)
def ahead(monkeypatch: pytest.MonkeyPatch) -> Ahead:
    shift, real = Ahead(), SystemClock.now

    def now(self: SystemClock) -> Now:
        said = real(self)
        return Now(said.wall_ms + shift.ms, said.monotonic_s)

    monkeypatch.setattr(SystemClock, "now", now)
    return shift


async def skip(stage: Stage, ahead: Ahead, *, batch: int, tid: str = TID) -> None:
    """A day goes by: the schedule ends the empty batch."""
    ahead.ms = DAY_MS
    stage.daemon._wake()
    await stage.until(lambda: stage.state(tid).batch.identity == batch)
    ahead.ms = 0


async def settle(stage: Stage, *, batch: int, tid: str = TID) -> None:
    """And until the batch after it is open."""
    await stage.daemon.lanes[Tid(tid)].command(e.SettleNow(f"settle-{batch}", "anna"))
    await stage.until(lambda: stage.state(tid).batch.identity == batch)
    await stage.until(lambda: stage.state(tid).session.signed_in)


async def ask_for_archive(stage: Stage, **args: Any) -> dict[str, Any]:
    socket = stage.folder / "control.sock"
    return await asyncio.to_thread(call, socket, "journal.archive", args)


def journal(stage: Stage) -> Path:
    return stage.folder / "state" / "journal"


async def old_month(stage: Stage, ahead: Ahead) -> None:
    """Sales of a batch that is closed and forgotten: the last closed one is empty."""
    for number in range(1, 5):
        await stage.sale(f"{number}.00")
    await settle(stage, batch=2)
    await skip(stage, ahead, batch=3)


def test_d33_a_closed_month_goes_while_sales_go_on(staged: MakeStage, ahead: Ahead) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        await old_month(stage, ahead)
        is_later(stage)
        head = stage.daemon._store.head().sequence
        archived = asyncio.create_task(ask_for_archive(stage))
        await stage.until(lambda: archive_folder(journal(stage)).exists())  # what goes is decided
        codes = [(await stage.sale(f"{number}.50"))["code"] for number in range(8)]
        said = await archived
        assert codes == ["00"] * 8
        assert said["held"] == []
        assert (rows := sum(one["rows"] for one in said["archived"])) >= head
        (record,) = stage.rig.records("months_archived")
        told = json.loads(record.payload)
        assert (told["rows"], told["who"]["uid"]) == (rows, os.geteuid())
        assert told["months"] == [one["month"] for one in said["archived"]]
        assert stage.daemon._store.base.sequence >= head  # type: ignore[attr-defined]
        again = await stage.terminal().do({"do": "repeat", "stan": 1})
        assert again["code"] == "94"  # D6: its row is in a segment
        assert len([said for said in stage.received("0200") if said["amount"] == 100]) == 1
        await settle(stage, batch=4)
        await stage.end()
        assert stage.differences() == []  # every row is found, and each segment is as it was written
        await stage.start()
        assert "segments_not_here" not in stage.daemon.troubles
        archive_folder(journal(stage)).rename(stage.folder / "elsewhere")
        assert "segments_not_here" in stage.daemon.troubles
        (stage.folder / "elsewhere").rename(archive_folder(journal(stage)))
        await stage.sale("9.00")
        await settle(stage, batch=5)
        await stage.end()
        assert stage.differences() == []

    play(staged(), story)


def test_what_is_old_is_still_shown(staged: MakeStage, ahead: Ahead) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        await old_month(stage, ahead)
        with OfflineJournal(stage.daemon.settings, SystemClock().now()) as before:
            shown = before.show(f"{TID}/000001")
            report = before.settlements(TID, 1)
            listed = before.of_batch({"tid": TID, "batch": 1})
        is_later(stage)
        await ask_for_archive(stage)
        with OfflineJournal(stage.daemon.settings, SystemClock().now()) as after:
            assert after.show(f"{TID}/000001") == shown
            assert after.settlements(TID, 1) == report
            assert after.of_batch({"tid": TID, "batch": 1}) == listed
            assert len(after.timeline(shown["transaction"]["request_id"])) >= 7
        await stage.end()
        for path in archive_folder(journal(stage)).iterdir():
            path.unlink()
        with OfflineJournal(stage.daemon.settings, SystemClock().now()) as without:
            assert without.answer("status", {})["terminals"]  # from the snapshot: no segment is needed
            with pytest.raises(StorageFailed, match=r"which is not here: put it back"):
                without.settlements(TID, 1)
            with pytest.raises(StorageFailed, match=r"which is not here: put it back"):
                without.show(f"{TID}/000001")

    play(staged(), story)


def test_d33_what_is_not_over_stays_and_is_named(staged: MakeStage, ahead: Ahead) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        await stage.sale("1.00")
        is_later(stage)
        said = await ask_for_archive(stage)
        assert said["archived"] == []
        assert "its batch is open" in said["held"][0]["why"]
        await settle(stage, batch=2)
        said = await ask_for_archive(stage)
        assert said["archived"] == []
        assert "it is of the last closed batch" in said["held"][0]["why"]
        assert not archive_folder(journal(stage)).exists()

    play(staged(), story)


def test_the_present_month_never_goes(staged: MakeStage, ahead: Ahead) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        await old_month(stage, ahead)
        said = await ask_for_archive(stage)
        assert (said["archived"], said["held"]) == ([], [])

    play(staged(), story)


def test_one_run_at_a_time(staged: MakeStage, ahead: Ahead) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        await old_month(stage, ahead)
        is_later(stage)
        both = await asyncio.gather(*(ask_for_archive(stage) for _ in range(2)), return_exceptions=True)
        assert sorted(type(one).__name__ for one in both) == ["ControlFailed", "dict"]
        assert any("under way already" in str(one) for one in both)

    play(staged(), story)


def test_a_terminal_without_a_lane_keeps_its_place_in_the_journal(staged: MakeStage, ahead: Ahead) -> None:
    """Configured away, archived, put back: its trace numbers and its batch go on (D7, D35)."""

    async def story(stage: Stage) -> None:
        await stage.start()
        await stage.sale("1.00", SECOND)
        await settle(stage, batch=2, tid=SECOND)
        before = stage.state(SECOND)
        await stage.end()
        every = stage.settings["terminals"]
        stage.settings["terminals"] = every[:1]
        stage.tids = (TID,)
        await stage.start()
        is_later(stage)
        said = await ask_for_archive(stage)
        assert said["archived"], said["held"]
        await stage.end()
        shutil.rmtree(archive_folder(journal(stage)))
        stage.settings["terminals"], stage.tids = every, (TID, SECOND)
        await stage.start()
        assert stage.state(SECOND).batch.identity == before.batch.identity
        assert stage.state(SECOND).stan >= before.stan
        assert (await stage.sale("2.00", SECOND))["code"] == "00"

    play(staged(tids=(TID, SECOND)), story)


def test_d33_a_run_that_was_cut_short_is_finished_by_the_next_start(
    staged: MakeStage, ahead: Ahead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "REMOVE_ROWS", 1)
    monkeypatch.setattr("posd.daemon.archive.beside.PAUSE_S", 0.1)

    async def story(stage: Stage) -> None:
        await stage.start()
        await old_month(stage, ahead)
        is_later(stage)
        removed = 0
        change, loop = stage.rig.store.change, asyncio.get_running_loop()

        def cut_short(step: str, work: Any) -> Any:
            nonlocal removed
            removed += step == "removing"
            if removed == 2:
                loop.call_soon_threadsafe(stage.daemon.stop)
            return change(step, work)

        stage.rig.store.change = cut_short
        with pytest.raises(Exception, match=r"posd (ended|hung up)"):
            await ask_for_archive(stage)
        async with asyncio.timeout(8):
            await stage.life
        report = verify(journal(stage), chain_key(stage))
        assert report.intact
        assert "not yet removed here; the next start goes on with that" in report.notes[0]
        await stage.start()
        await stage.until(lambda: "archive_finished" in stage.events())
        await stage.sale("3.00")
        await stage.end()
        report = verify(journal(stage), chain_key(stage))
        assert (report.intact, report.notes) == (True, ())

    play(staged(), story)


def chain_key(stage: Stage) -> bytes:
    return load_machine_key(stage.folder / "machine.key").derive("chain")


def test_p3_no_room_for_a_segment_is_no_trouble_of_the_journal(
    staged: MakeStage, ahead: Ahead, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        await old_month(stage, ahead)
        is_later(stage)
        monkeypatch.setattr(making, "free_bytes", lambda folder: 1000)
        with pytest.raises(Exception, match="make room, then try again"):
            await ask_for_archive(stage)
        assert (await stage.sale("2.00"))["code"] == "00"
        monkeypatch.undo()
        assert stage.state().find(RequestId("x")) is None

    play(staged(), story)


def test_a_bad_month_is_misuse(staged: MakeStage, ahead: Ahead) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        for before in ("2026", "2026-13", "26-01", "abcd-ef", "9999-01"):
            with pytest.raises(Exception, match=r"is a month, such as|has not come yet"):
                await ask_for_archive(stage, before=before)

    play(staged(), story)


def test_progress_is_json(staged: MakeStage, ahead: Ahead, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posd.daemon.archive.progress.TELL_EACH_WORKS", 3)

    async def story(stage: Stage) -> None:
        await stage.start()
        await old_month(stage, ahead)
        is_later(stage)
        heard: list[dict[str, Any]] = []
        await asyncio.to_thread(call, stage.folder / "control.sock", "journal.archive", {}, heard.append)
        assert len(heard) > 3
        assert {"month", "what", "rows"} == set(heard[-1])
        json.dumps(heard)

    play(staged(), story)
