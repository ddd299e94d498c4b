"""Closed months leave the database for segments: every row has one authority, whatever fails and whenever (D33)."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from posd.errors import ConfigError, KeyTrouble, StorageFailed
from posd.journal import making
from posd.journal import verify as verifying
from posd.journal.archive import do, is_unfinished, works_to_archive
from posd.journal.connect import JOURNAL_FILE
from posd.journal.months import Cut
from posd.journal.reader import JournalReader
from posd.journal.segment import ARCHIVE_FOLDER, archive_folder
from posd.journal.sqlite import SqliteStore
from posd.journal.verify import verify
from tests.journal.months_of_sales import TIDS, archive_all, everything, fill, plan, sale, take_small_steps, works


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    take_small_steps(monkeypatch)


@pytest.fixture
def filled(opened: Any, rows: Any) -> SqliteStore:
    store: SqliteStore = opened()
    fill(store, rows)
    return store


def test_d33_closed_months_move_and_every_reader_finds_every_row(
    filled: SqliteStore, folder: Path, chain_key: bytes
) -> None:
    before = everything(folder)
    head = filled.head()
    assert [(cut.month, cut.last) for cut in plan(filled)] == [("2026-01", 24), ("2026-02", 48)]
    archive_all(filled)
    assert sorted(path.name for path in archive_folder(folder).iterdir()) == ["2026-01.segment", "2026-02.segment"]
    assert everything(folder) == before
    assert filled.head() == head
    assert (filled.base.sequence, filled.ask("SELECT min(sequence) FROM record")[0][0]) == (48, 49)
    report = verify(folder, chain_key)
    assert report.intact, report.findings
    assert report.rows == 72


def test_the_pieces_of_the_whole_are_read_in_either_direction(filled: SqliteStore, folder: Path) -> None:
    before = everything(folder)
    archive_all(filled)
    with JournalReader(folder) as reader:
        assert [row.as_dict() for row in reader.merged(newest_first=True)] == before[::-1]
        for after in (0, 1, 23, 24, 25, 47, 48, 49, 71, 72, 90):
            rows = [row.sequence for row in reader.merged(after=after)]
            assert rows == list(range(after + 1, 73))
            rows = [row.sequence for row in reader.merged(after=after, newest_first=True)]
            assert rows == list(range(min(after - 1, 72), 0, -1))
        assert [row.sequence for row in reader.merged(limit=3, after=23)] == [24, 25, 26]
        assert [row.sequence for row in reader.records(tid=TIDS[1], limit=14)] == list(range(3, 57, 4))
        of = f"{TIDS[0]}/000001/001004/0200/000000"
        assert [row.sequence for row in reader.merged(request_id=of)] == [33, 34]
        assert [row.sequence for row in reader.records(rrn=f"{4:012d}")] == [9]
        assert reader.tids() == list(TIDS)
        assert reader.not_here == []


def test_pages_end_where_segments_end(filled: SqliteStore, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive_all(filled)
    for page in (1, 2, 3, 12, 24, 48):
        monkeypatch.setattr("posd.journal.reader.PAGE_ROWS", page)
        with JournalReader(folder) as reader:
            assert [row.sequence for row in reader.records()] == list(range(1, 72, 2))
            assert [row.sequence for row in reader.records(newest_first=True)] == list(range(71, 0, -2))


def test_d6_what_left_once_is_known_for_ever(filled: SqliteStore, opened: Any) -> None:
    archive_all(filled)
    filled.close()
    store = opened()
    for month, serial in (("2026-01", 4), ("2026-02", 1004), ("2026-03", 2004)):
        of = f"{TIDS[0]}/000001/{serial:06d}/0200/000000"
        assert store.secret(of) == f"secret {serial}".encode(), month
    assert store.secret(f"{TIDS[0]}/000001/000002/0200/000000") is None  # refused, never sent
    assert store.secret(f"{TIDS[0]}/000001/000999/0200/000000") is None
    assert store.highest_request(TIDS[0]) == f"{TIDS[0]}/000001/002010/0200/000000"
    assert store.tids() == list(TIDS)


def test_d6_the_highest_request_may_be_an_archived_one(opened: Any, rows: Any) -> None:
    store = opened()
    store.write([sale(rows, "2026-01", 0)])
    store.write([[rows.record(1, "99999999", request_id=None, secret=None)]])
    do_month(store, "2026-01", 2)
    assert store.highest_request(TIDS[0]) == f"{TIDS[0]}/000001/000000/0200/000000"
    assert store.highest_request(TIDS[1]) == ""


def do_month(store: SqliteStore, month: str, last: int) -> None:
    for work in works_to_archive(store, month, last):
        do(work)


def test_d6_a_segment_elsewhere_still_says_what_it_speaks_of(filled: SqliteStore, folder: Path, opened: Any) -> None:
    archive_all(filled)
    filled.close()
    (archive_folder(folder) / "2026-01.segment").unlink()
    store = opened()
    with pytest.raises(KeyTrouble, match=r"rows 1 to 24 are in 2026-01\.segment, which is not here"):
        store.secret(f"{TIDS[0]}/000001/000004/0200/000000")
    assert store.secret(f"{TIDS[0]}/000001/000998/0200/000000") is None  # never asked for
    assert store.secret(f"{TIDS[0]}/000001/001004/0200/000000") == b"secret 1004"
    assert store.highest_request(TIDS[1]) == f"{TIDS[1]}/000001/002011/0200/000000"


def test_d33_a_start_needs_no_segment_while_a_snapshot_is_good(filled: SqliteStore, folder: Path, opened: Any) -> None:
    archive_all(filled)
    filled.close()
    shutil.rmtree(archive_folder(folder))
    store = opened()
    assert store.replay(TIDS[0], 1).snapshot == f'{{"of":"{TIDS[0]}"}}'
    assert list(store.replay("30000003", 1).records) == []  # a new terminal
    with pytest.raises(StorageFailed, match="put it back"):
        list(store.replay(TIDS[0], 2).records)


def test_d33_without_a_snapshot_the_segments_are_folded_too(filled: SqliteStore, opened: Any) -> None:
    before = [row.sequence for row in filled.replay(TIDS[0], 2).records]
    archive_all(filled)
    assert [row.sequence for row in filled.replay(TIDS[0], 2).records] == before
    filled.close()
    store = opened()
    assert [row.sequence for row in store.replay(TIDS[0], 2).records] == before == list(range(1, 73, 4))


def test_a_changed_segment_is_not_folded(filled: SqliteStore, folder: Path, opened: Any) -> None:
    archive_all(filled)
    filled.close()
    flip(archive_folder(folder) / "2026-01.segment", 9000)
    with pytest.raises(StorageFailed, match=r"2026-01\.segment: it is not as it was written"):
        list(opened().replay(TIDS[0], 2).records)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


def test_the_database_becomes_smaller(filled: SqliteStore, folder: Path) -> None:
    filled.sync_anchor()
    filled._checkpoint()
    before = (folder / JOURNAL_FILE).stat().st_size
    archive_all(filled)
    filled._checkpoint()
    assert (folder / JOURNAL_FILE).stat().st_size < before


def test_a_month_is_archived_once_and_what_comes_late_goes_with_the_next(filled: SqliteStore, rows: Any) -> None:
    archive_all(filled)
    filled.write([sale(rows, "2026-01", 50)])  # a clock that went back
    assert plan(filled) == []
    filled.write([sale(rows, "2026-03", 51)])
    assert plan(filled, "2026-04") == [Cut("2026-03", 76)]


def test_an_archived_month_leaves_the_others_to_be_written(
    filled: SqliteStore, rows: Any, opened: Any, folder: Path, chain_key: bytes
) -> None:
    archive_all(filled)
    for number in range(20, 30):
        filled.write([sale(rows, "2026-03", number)])
    filled.close()
    store = opened()
    assert store.head().sequence == 92
    assert verify(folder, chain_key).intact


# --- kills ---------------------------------------------------------------------------------------------------------


def copy_of(folder: Path, to: Path) -> Path:
    """What a kill at this moment leaves: every byte that was given to the kernel."""
    shutil.copytree(folder, to)
    return to


def require_sound(store: SqliteStore, folder: Path, chain_key: bytes, before: list[dict[str, Any]]) -> None:
    """Every row is there once, whoever looks."""
    assert everything(folder) == before
    report = verify(folder, chain_key)
    assert report.intact, report.findings
    assert store.secret(f"{TIDS[0]}/000001/000004/0200/000000") == b"secret 4"
    assert [row.sequence for row in store.replay(TIDS[1], 2).records] == list(range(3, 73, 4))


def test_d33_a_kill_between_any_two_works(
    filled: SqliteStore, folder: Path, opening_at: Callable[[Path], SqliteStore], tmp_path: Path, chain_key: bytes
) -> None:
    before = everything(folder)
    killed: list[Path] = []
    for number, work in enumerate(works(filled)):
        killed.append(copy_of(folder, tmp_path / f"killed-{number}"))
        do(work)
    killed.append(copy_of(folder, tmp_path / "at-the-end"))
    assert len(killed) > 35
    for place in killed:
        store = opening_at(place)
        require_sound(store, place, chain_key, before)
        archive_all(store)
        require_sound(store, place, chain_key, before)
        names = [path.name for path in archive_folder(place).iterdir()]
        assert sorted(names) == ["2026-01.segment", "2026-02.segment"]
        assert not is_unfinished(store)
        store.close()
        shutil.rmtree(place)


@pytest.mark.parametrize(("operation", "each", "least"), [("write", 7, 10), ("sync", 1, 15)])
def test_d33_a_disk_that_fails_at_any_operation(
    operation: str,
    each: int,
    least: int,
    opened: Any,
    rows: Any,
    disk: Any,
    folder: Path,
    opening_at: Callable[..., SqliteStore],
    tmp_path: Path,
    chain_key: bytes,
) -> None:
    store = opened()
    fill(store, rows)
    store.close()
    before = everything(folder)
    failures = 0
    for number in range(0, 10_000, each):
        place = copy_of(folder, tmp_path / f"{operation}-{number}")
        store = opening_at(place, vfs=disk.name)
        disk.fail = failing_at(number, operation)
        try:
            archive_all(store)
            store.upkeep()
        except StorageFailed:
            failures += 1
        else:
            break
        finally:
            disk.fail = lambda operation, file: None
            store.close()
        again = opening_at(place)
        require_sound(again, place, chain_key, before)
        archive_all(again)
        require_sound(again, place, chain_key, before)
        assert again.base.sequence == 48
        again.close()
        shutil.rmtree(place)
    assert failures > least


def failing_at(number: int, operation: str) -> Callable[[str, str], Exception | None]:
    seen = 0

    def fail(this: str, file: str) -> Exception | None:
        nonlocal seen
        seen += this == operation
        return apsw.IOError("planted") if this == operation and seen == number + 1 else None

    return fail


def test_a_full_disk_while_a_segment_is_made_is_no_trouble_of_the_journal(
    filled: SqliteStore, folder: Path, rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "free_bytes", lambda folder: 1000)
    with pytest.raises(ConfigError, match="make room, then try again"):
        archive_all(filled)
    filled.write([sale(rows, "2026-03", 60)])
    assert not list(archive_folder(folder).glob("*")) or not archive_folder(folder).exists()


# --- what must not be touched ----------------------------------------------------------------------------------------


def test_damage_in_the_database_is_not_carried_into_a_segment(
    filled: SqliteStore, folder: Path, opened: Any, rows: Any
) -> None:
    filled.close()
    connection = apsw.Connection(str(folder / JOURNAL_FILE))
    connection.execute("UPDATE record SET payload = '{\"n\":99}' WHERE sequence = 5")
    connection.close()
    store = opened()
    with pytest.raises(StorageFailed, match="nothing was moved: row 5: does not fit the chain"):
        archive_all(store)
    assert store.base.sequence == 0
    store.write([sale(rows, "2026-03", 60)])  # the journal goes on


def test_a_foreign_file_in_the_place_of_a_segment_is_left_alone(filled: SqliteStore, folder: Path) -> None:
    archive_folder(folder).mkdir()
    foreign = archive_folder(folder) / "2026-01.segment"
    foreign.write_text("somebody's")
    with pytest.raises(ConfigError, match="does not know that file; move it away"):
        archive_all(filled)
    assert foreign.read_text() == "somebody's"
    assert filled.base.sequence == 0


def test_files_of_the_archive_are_not_for_everybody_and_not_for_writing(filled: SqliteStore, folder: Path) -> None:
    archive_all(filled)
    assert archive_folder(folder).stat().st_mode & 0o007 == 0
    for path in archive_folder(folder).iterdir():
        assert path.stat().st_mode & 0o777 == 0o440


def test_d30_a_reader_in_the_middle_misses_nothing_and_reads_nothing_twice(
    filled: SqliteStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("posd.journal.reader.PAGE_ROWS", 5)
    with JournalReader(folder) as forward, JournalReader(folder) as backward:
        ahead, behind = forward.merged(), backward.merged(newest_first=True)
        seen = [next(ahead).sequence for _ in range(13)]
        back = [next(behind).sequence for _ in range(13)]
        archive_all(filled)
        assert seen + [row.sequence for row in ahead] == list(range(1, 73))
        assert back + [row.sequence for row in behind] == list(range(72, 0, -1))


def test_p5_no_card_number_in_a_segment(filled: SqliteStore, folder: Path, canary: str) -> None:
    archive_all(filled)
    for path in (folder / ARCHIVE_FOLDER).iterdir():
        data = path.read_bytes()
        assert canary.encode() not in data
        assert b"secret 4" not in data


def test_a_segment_is_as_durable_as_its_name(filled: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file, then its folder: both before the journal knows of it."""
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    for work in works_to_archive(filled, "2026-01", 24):
        if work.what == "take over":
            break
        do(work)
    assert synced[:2] == ["2026-01.segment.part", ARCHIVE_FOLDER]


def test_verify_beside_an_archive_run_takes_nothing_for_lost(
    filled: SqliteStore, folder: Path, chain_key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The months go between the look at where the journal begins and the look at its rows."""
    real, runs = verifying.require_key, 0

    def meanwhile(*args: Any) -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            archive_all(filled)
        real(*args)

    monkeypatch.setattr(verifying, "require_key", meanwhile)
    report = verify(folder, chain_key)
    assert report.intact, report.findings
    assert (report.base_sequence, report.rows, runs) == (48, 72, 2)
