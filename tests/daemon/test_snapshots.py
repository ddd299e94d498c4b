"""D33: what a start verifies is bounded, whoever was idle, and a snapshot tells no other state than the records."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posd.core.payload import FOLD_VERSION
from posd.core.records import LaneOpened
from posd.daemon import snapshots
from posd.daemon.recover import NO_SNAPSHOT, fold, known, recover
from posd.daemon.snapshots import keep_removed_near
from posd.journal.memory import MemoryStore
from posd.journal.opening import open_store
from posd.journal.sqlite import SqliteStore
from posd.security.machine import load_machine_key
from posd.security.vault import DataKeys
from posd.values import BatchNumber, Stan, Tid
from tests.daemon.stage import SECOND, TID, Stage, play

MakeStage = Callable[..., Stage]
LAG_ROWS = 20
ROWS_OF_A_SALE = 8


@pytest.fixture
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posd.daemon.snapshots.SNAPSHOT_LAG_ROWS", LAG_ROWS)
    monkeypatch.setattr("posd.daemon.snapshots.SNAPSHOT_LAG_ROWS_EACH", 1)
    monkeypatch.setattr("posd.daemon.daemon.SNAPSHOT_BEAT_S", 0.02)


def killed(stage: Stage, folder: Path) -> SqliteStore:
    """The store that a start finds if posd is killed now."""
    shutil.copytree(stage.folder / "state" / "journal", folder)
    key = load_machine_key(stage.folder / "machine.key")
    vault = DataKeys(stage.folder / "state" / "keys", key)
    return open_store(folder, key.derive("chain"), key.derive("digest"), vault, ballast_bytes=4096, free_bytes_min=0)


def counted(stage: Stage) -> list[int]:
    """How many snapshots each commit of them had, from now on."""
    saved: list[int] = []
    save = stage.rig.store.save_snapshots

    def saving(rows: Any) -> None:
        saved.append(len(rows))
        save(rows)

    stage.rig.store.save_snapshots = saving
    return saved


def same_state(store: Any, tid: str) -> None:
    recovered = known(store, Tid(tid))
    whole = fold(store.replay(tid, NO_SNAPSHOT).records, None)
    assert recovered is not None
    assert whole is not None
    assert (recovered.fenced, recovered.state) == ("", whole.state)


@pytest.mark.usefixtures("near")
def test_d33_a_start_verifies_a_bounded_tail_though_a_terminal_is_idle(staged: MakeStage, tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        saved = counted(stage)
        for number in range(12):
            await stage.sale(f"{number + 1}.00")
        await stage.until(lambda: all(lane.snapshot_lag() <= LAG_ROWS for lane in stage.daemon.lanes.values()))
        assert 0 < sum(saved) <= 2 * (1 + 12 * ROWS_OF_A_SALE // LAG_ROWS)
        store = killed(stage, tmp_path / "killed")
        try:
            head = store.head().sequence
            assert head > 12 * 7
            for tid in (TID, SECOND):
                assert store.replay(tid, FOLD_VERSION).snapshot is not None
            assert store.rows_verified <= LAG_ROWS + 2 * ROWS_OF_A_SALE
            for tid in (TID, SECOND):
                same_state(store, tid)
            assert store.rows_verified == head  # without snapshots it is everything
        finally:
            store.close()
        await stage.end()
        assert stage.differences() == []

    play(staged(tids=(TID, SECOND)), story)


def test_an_orderly_end_leaves_little_to_verify(
    staged: MakeStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("posd.daemon.daemon.ENDING_LAG_ROWS", 5)

    async def story(stage: Stage) -> None:
        await stage.start()
        for number in range(4):
            await stage.sale(f"{number + 1}.00")
        assert all(lane.snapshot_lag() > 20 for lane in stage.daemon.lanes.values())
        await stage.end()
        store = killed(stage, tmp_path / "ended")
        try:
            for tid in (TID, SECOND):
                assert store.replay(tid, FOLD_VERSION).snapshot is not None
            assert store.rows_verified <= 5
            for tid in (TID, SECOND):
                same_state(store, tid)
        finally:
            store.close()

    play(staged(tids=(TID, SECOND)), story)


def test_d33_a_snapshot_at_any_moment_tells_the_state_of_the_records(
    staged: MakeStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are taken as often as they can be, while both terminals work and the disk is slow."""
    monkeypatch.setattr("posd.daemon.daemon.lag_rows_max", lambda terminals: 0)
    monkeypatch.setattr("posd.daemon.daemon.SNAPSHOT_BEAT_S", 0.001)

    async def story(stage: Stage) -> None:
        await stage.start()
        for number in range(4):
            for tid in (TID, SECOND):
                await stage.sale(f"{number}.07" if number == 2 else f"{number + 1}.00", tid)
            store = killed(stage, tmp_path / str(number))
            try:
                for tid in (TID, SECOND):
                    assert store.replay(tid, FOLD_VERSION).snapshot is not None
                    same_state(store, tid)
            finally:
                store.close()
        await stage.until(lambda: not any(stage.state(tid).unended_reversals() for tid in (TID, SECOND)))
        await stage.end()
        assert stage.differences() == []

    faults = ({"mti": "0200", "amount": "*07", "do": "lose_answer"},)
    play(staged(tids=(TID, SECOND), faults=faults, slow_s=0.003), story)


def test_a_lane_behind_its_fence_has_no_snapshot_taken(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        runner = stage.daemon.lanes[Tid(TID)]
        saved = counted(stage)
        runner.fenced = "a test"
        assert runner.snapshot_lag() == 0
        await runner.refresh_snapshot()
        assert saved == []

    play(staged(), story)


def test_a_terminal_that_was_removed_holds_no_start_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "SNAPSHOT_LAG_ROWS", 3)
    store = MemoryStore(b"c" * 32, b"d" * 32, None)  # type: ignore[arg-type]
    tids = [Tid(f"1000000{number}") for number in range(6)]
    for tid in tids:
        recover(store, tid, 0)
    for tid in (tids[0], tids[-1]):
        recovered = known(store, tid)
        assert recovered is not None
        keep_removed_near(store, recovered)
    assert known(store, tids[0]) == recovered_at(store, tids[0], 6)
    assert store.replay(tids[-1], FOLD_VERSION).snapshot_sequence == 6  # none before: it lay 6 rows behind
    assert store.replay(tids[1], FOLD_VERSION).snapshot is None


def recovered_at(store: MemoryStore, tid: Tid, sequence: int) -> Any:
    first = LaneOpened(tid, Stan(1), BatchNumber(1))
    whole = fold(store.replay(tid, NO_SNAPSHOT).records, None)
    assert whole is not None
    assert whole.state.batch.number == first.batch_number
    return type(whole)(whole.state, "", sequence)
