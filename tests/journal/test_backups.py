"""A copy of a journal beside whoever writes it: exactly up to one row, with its archive, or not at all (D30, D33)."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posd.errors import ConfigError, StorageFailed
from posd.journal.anchor import read_anchor
from posd.journal.backups import copying
from posd.journal.backups.copying import copy_journal
from posd.journal.backups.making import Keys, Made, make
from posd.journal.backups.manifest import Manifest
from posd.journal.backups.placing import Restoring, place
from posd.journal.backups.sets import alone, copy_set, keep_newest, kept, mark_used, was_used
from posd.journal.marker import marker_of
from posd.journal.segment import archive_folder
from posd.journal.verify import verify
from tests.journal.months_of_sales import archive_all, fill, take_small_steps

Opened = Callable[..., Any]
MADE = Made(1_772_413_200_000, "0.1", "k" * 16, 1)


def backed_up(folder: Path, path: Path, chain_key: bytes, at_ms: int = MADE.at_ms) -> Manifest:
    made = Made(at_ms, MADE.posd, MADE.key_id, MADE.fold_version)
    path.mkdir(exist_ok=True)
    with alone(path):
        return make(folder, path, made, Keys(chain_key, b"m" * 32), lambda copy: ())


def scratch(path: Path, manifest: Manifest, target: Path) -> Path:
    target.mkdir()
    copy_set(path / manifest.name, manifest, target)
    return target


def test_d30_a_copy_is_exact_while_rows_are_written(
    opened: Opened, rows: Any, folder: Path, chain_key: bytes, tmp_path: Path
) -> None:
    store, target = opened(), tmp_path / "copy"
    store.write([rows.sale(number) for number in range(3000)])
    target.mkdir()
    begun, done = threading.Event(), threading.Event()
    copied: list[Any] = []

    def copy() -> None:
        copied.append(copy_journal(folder, target, lambda count: begun.set()))
        done.set()

    thread = threading.Thread(target=copy)
    thread.start()
    begun.wait(10)
    number = 3000
    while not done.is_set():
        store.write([rows.sale(number)])
        number += 1
    thread.join()
    head = copied[0].head
    assert 6000 <= head.sequence <= store.head().sequence
    assert read_anchor(target / "anchor").head == head
    report = verify(target, chain_key)
    assert report.intact, report.findings
    assert report.head == head


def test_d33_segments_are_kept_once_and_a_restored_set_is_whole(
    opened: Opened, rows: Any, folder: Path, chain_key: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_small_steps(monkeypatch)
    store, path = opened(), tmp_path / "backups"
    fill(store, rows)
    first = backed_up(folder, path, chain_key)
    assert first.segments == ()
    archive_all(store)
    second = backed_up(folder, path, chain_key, MADE.at_ms + 1)
    names = [one.name for one in second.segments]
    assert sorted(one.in_journal.name for one in second.segments) == sorted(
        one.name for one in archive_folder(folder).iterdir()
    )
    inode = (path / "archive" / names[0]).stat().st_ino
    third = backed_up(folder, path, chain_key, MADE.at_ms + 2)
    assert third.segments == second.segments
    assert (path / "archive" / names[0]).stat().st_ino == inode
    for number, manifest in enumerate((first, second, third)):
        report = verify(scratch(path, manifest, tmp_path / f"scratch{number}"), chain_key)
        assert report.intact, report.findings
        assert report.head == store.head()


def test_rows_that_go_into_the_archive_meanwhile_begin_the_copy_anew(
    opened: Opened, rows: Any, folder: Path, chain_key: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_small_steps(monkeypatch)
    monkeypatch.setattr(copying, "PAGE_ROWS", 10)
    store, target, times = opened(), tmp_path / "copy", []
    fill(store, rows)
    target.mkdir()

    def archive_once(count: int) -> None:
        times.append(count)
        if len(times) == 1:
            archive_all(store)

    copied = copy_journal(folder, target, archive_once)
    assert copied.identity.base.sequence == 48
    assert copied.rows == store.head().sequence - 48


def test_a_missing_row_is_no_backup(opened: Opened, rows: Any, folder: Path, chain_key: bytes, tmp_path: Path) -> None:
    store, path = opened(), tmp_path / "backups"
    store.write([rows.sale(number) for number in range(20)])
    store._writer.execute("DELETE FROM record WHERE sequence = 7")
    with pytest.raises(StorageFailed, match="not all there"):
        backed_up(folder, path, chain_key)
    assert kept(path) == []
    assert [one.name for one in path.iterdir() if one.name.startswith(".part")] == []


def test_what_a_killed_maker_left_is_cleaned_away(
    opened: Opened, rows: Any, folder: Path, chain_key: bytes, tmp_path: Path
) -> None:
    store, path = opened(), tmp_path / "backups"
    store.write([rows.sale(1)])
    (path / ".part-1").mkdir(parents=True)
    (path / ".gone-1").mkdir()
    backed_up(folder, path, chain_key)
    assert {one.name for one in path.iterdir()} == {".lock", kept(path)[0].name}
    with alone(path), pytest.raises(StorageFailed, match="under way"), alone(path):
        pass


def test_final_ones_and_what_is_newer_stay(
    opened: Opened, rows: Any, folder: Path, chain_key: bytes, tmp_path: Path
) -> None:
    store, path = opened(), tmp_path / "backups"
    store.write([rows.sale(1)])
    final = Made(MADE.at_ms, MADE.posd, MADE.key_id, MADE.fold_version, final=True)
    path.mkdir()
    with alone(path):
        ended = make(folder, path, final, Keys(chain_key, b"m" * 32), lambda copy: ())
    names = [backed_up(folder, path, chain_key, MADE.at_ms + number).name for number in range(1, 4)]
    with alone(path):
        assert keep_newest(path, 2, names[-1]) == names[:1]
    assert [one.name for one in kept(path)] == [ended.name, *names[1:]]
    assert not was_used(path / ended.name)
    assert mark_used(path / ended.name, 1)
    assert not mark_used(path / ended.name, 2)
    assert was_used(path / ended.name)


@pytest.mark.parametrize("step", ["fill", "first rename", "second rename", "marker"])
def test_a_restore_that_ends_half_way_never_leaves_an_unmarked_hole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Where there is no journal there is a marker, and the next restore ends it."""
    journal, renames = tmp_path / "journal", []
    journal.mkdir()
    (journal / "journal.db").write_text("old")

    def fill(staged: Path) -> None:
        if step == "fill" and not renames:
            renames.append("")
            raise KeyboardInterrupt
        (staged / "journal.db").write_text("new")

    rename, unlink = os.rename, Path.unlink

    def broken(source: Any, target: Any) -> None:
        renames.append(str(target))
        if (step, len(renames)) in (("first rename", 1), ("second rename", 2)):
            raise KeyboardInterrupt
        rename(source, target)

    def stay(path: Path, missing_ok: bool = False) -> None:
        if step == "marker" and path == marker_of(journal) and "x" not in renames:
            renames.append("x")
            raise KeyboardInterrupt
        unlink(path, missing_ok)

    monkeypatch.setattr("posd.journal.backups.placing.os.rename", broken)
    monkeypatch.setattr(Path, "unlink", stay)
    with pytest.raises(KeyboardInterrupt):
        place(journal, Restoring("b", False, "journal.old"), fill)
    there = (journal / "journal.db").exists()
    assert there or marker_of(journal).exists()
    if there and not marker_of(journal).exists():
        assert (journal / "journal.db").read_text() == "old"
    place(journal, Restoring("b", False, "journal.older"), fill)
    assert (journal / "journal.db").read_text() == "new"
    assert not marker_of(journal).exists()
    old = [path for path in tmp_path.glob("journal.old*") if (path / "journal.db").read_text() == "old"]
    assert len(old) == 1


def test_posd_does_not_start_on_a_journal_that_is_being_restored(opened: Opened, folder: Path) -> None:
    folder.parent.mkdir(exist_ok=True)
    marker_of(folder).write_text("{}")
    with pytest.raises(ConfigError, match="being restored"):
        opened()
    assert not folder.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can work for another user")
def test_what_root_locks_the_service_can_lock_too(tmp_path: Path) -> None:
    """Root's run may fail right after; the nightly one is the service's."""
    os.chown(tmp_path, 65_534, 65_534)
    with alone(tmp_path):
        pass
    assert (tmp_path / ".lock").stat().st_uid == 65_534
