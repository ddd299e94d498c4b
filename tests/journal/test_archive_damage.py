"""Damage to the archive, of every kind that a disk or a hand can do, is found and named (P4, D33)."""

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from posd.errors import ConfigError, StorageFailed
from posd.journal.anchor import ANCHOR_FILE
from posd.journal.connect import JOURNAL_FILE
from posd.journal.segment import archive_folder
from posd.journal.sqlite import SqliteStore
from posd.journal.verify import Report, verify
from posd.journal.verify_archive import Depth, Looks, Seen
from tests.journal.months_of_sales import TIDS, archive_all, fill, take_small_steps

JANUARY, FEBRUARY = "2026-01.segment", "2026-02.segment"
EVERYTHING, SUMS = Looks(), Looks(Depth.SUMS)
PAGE_BYTES = 4096


@pytest.fixture
def archived(opened: Any, rows: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A closed journal with two segments."""
    take_small_steps(monkeypatch)
    store: SqliteStore = opened()
    fill(store, rows)
    archive_all(store)
    store.close()
    for path in archive_folder(folder).iterdir():
        path.chmod(0o600)
    return archive_folder(folder)


@pytest.fixture
def verified(folder: Path, chain_key: bytes) -> Callable[..., Report]:
    return lambda looks=EVERYTHING: verify(folder, chain_key, looks=looks)


def said(report: Report) -> list[str]:
    return [str(finding) for finding in report.findings]


def on(path: Path, *statements: str) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        for statement in statements:
            connection.execute(statement)


def test_an_intact_archive(archived: Path, verified: Any) -> None:
    report = verified()
    assert report.intact
    assert (report.rows, report.base_sequence, report.notes) == (72, 48, ())
    assert [(one.segment.month, one.seen, one.rows) for one in report.segments] == [
        ("2026-01", Seen.ROWS, 24),
        ("2026-02", Seen.ROWS, 24),
    ]


def test_fewer_may_be_looked_at(archived: Path, verified: Any) -> None:
    report = verified(SUMS)
    assert report.intact
    assert (report.rows, [one.seen for one in report.segments]) == (24, [Seen.SUM, Seen.SUM])
    report = verified(Looks(months=frozenset({"2026-02"})))
    assert (report.rows, [one.seen for one in report.segments]) == (48, [Seen.NOT_CHECKED, Seen.ROWS])
    report = verified(Looks(Depth.NONE))
    assert (report.rows, [one.seen for one in report.segments]) == (24, [Seen.NOT_CHECKED, Seen.NOT_CHECKED])
    with pytest.raises(ConfigError, match="there is no segment 2025-01"):
        verified(Looks(months=frozenset({"2025-01"})))


def pages(path: Path) -> int:
    return path.stat().st_size // PAGE_BYTES


@pytest.mark.parametrize("looks", [Looks(), SUMS], ids=["rows", "sums"])
@pytest.mark.parametrize("offset", [0, 17, 2000, 4095])
def test_a_flipped_bit_in_any_page(archived: Path, verified: Any, offset: int, looks: Looks) -> None:
    path = archived / JANUARY
    whole = path.read_bytes()
    for page in range(pages(path)):
        data = bytearray(whole)
        data[page * PAGE_BYTES + offset] ^= 0x10
        path.write_bytes(data)
        report = verified(looks)
        assert any(JANUARY in line for line in said(report)), page
        assert [one.seen for one in report.segments] == [Seen.DAMAGED, Seen.ROWS if looks is not SUMS else Seen.SUM]


@pytest.mark.parametrize("size", [0, 1, 100, PAGE_BYTES, PAGE_BYTES + 7, -PAGE_BYTES, -1])
def test_a_segment_that_was_cut(archived: Path, verified: Any, size: int) -> None:
    path = archived / FEBRUARY
    data = path.read_bytes()
    path.write_bytes(data[:size])
    assert any(FEBRUARY in line for line in said(verified()))


def test_bytes_after_the_end(archived: Path, verified: Any) -> None:
    with (archived / FEBRUARY).open("ab") as file:
        file.write(b"\0")
    assert said(verified()) == [f"{FEBRUARY} is not as it was written"]


@pytest.mark.parametrize("table", ["record", "message"])
def test_a_changed_row_is_named(archived: Path, verified: Any, table: str) -> None:
    sequence = 29 if table == "record" else 30
    on(archived / FEBRUARY, f"UPDATE {table} SET at_ms = at_ms + 1 WHERE sequence = {sequence}")
    assert said(verified()) == [
        f"row {sequence}: does not fit the chain: changed, moved or added",
        f"{FEBRUARY} is not as it was written",
    ]


def test_a_deleted_last_row_is_named(archived: Path, verified: Any) -> None:
    on(archived / JANUARY, "DELETE FROM message WHERE sequence = 24")
    assert "row 24: missing" in said(verified())


def test_swapped_segments(archived: Path, verified: Any, opened: Any, folder: Path) -> None:
    (archived / JANUARY).rename(archived / "x")
    (archived / FEBRUARY).rename(archived / JANUARY)
    (archived / "x").rename(archived / FEBRUARY)
    found = said(verified())
    assert f"{JANUARY} is not as it was written: it is segment 2026-02 (rows 25 to 48)" in found
    assert f"{FEBRUARY} is not as it was written: it is segment 2026-01 (rows 1 to 24)" in found
    with pytest.raises(StorageFailed, match="not the segment that belongs here"):
        opened().secret(f"{TIDS[0]}/000001/000004/0200/000000")


def test_a_duplicated_segment(archived: Path, verified: Any) -> None:
    shutil.copy(archived / JANUARY, archived / "2026-09.segment")
    assert said(verified()) == ["2026-09.segment in the archive is no segment of this journal; move it away"]


def test_one_in_the_place_of_another(archived: Path, verified: Any) -> None:
    shutil.copy(archived / JANUARY, archived / FEBRUARY)
    assert said(verified()) == [f"{FEBRUARY} is not as it was written: it is segment 2026-01 (rows 1 to 24)"]


def test_a_segment_of_another_journal(
    archived: Path, verified: Any, rows: Any, tmp_path: Path, opening_at: Any
) -> None:
    other = opening_at(tmp_path / "other")
    fill(other, rows)
    archive_all(other)
    shutil.copy(archive_folder(other.folder) / JANUARY, archived / JANUARY)
    assert said(verified()) == [f"{JANUARY} is not as it was written: it is of another journal"]


@pytest.mark.parametrize("column", ["month", "head_link", "base_link", "last", "terminals"])
def test_what_a_segment_says_of_itself(archived: Path, verified: Any, column: str) -> None:
    value = {"month": "'2026-07'", "last": "25", "terminals": "'{}'"}.get(column, "zeroblob(32)")
    on(archived / JANUARY, f"UPDATE segment SET {column} = {value}")
    assert any(
        line == f"{JANUARY} is not as it was written: what it says of itself was changed" for line in said(verified())
    )


# --- the list in the database --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("UPDATE segment SET file_sum = zeroblob(32) WHERE first = 1", "damaged at segment 2026-01"),
        ("UPDATE segment SET head_link = zeroblob(32) WHERE first = 1", "damaged at segment 2026-01"),
        ("UPDATE segment SET terminals = '{}' WHERE first = 25", "damaged at segment 2026-02"),
        ("UPDATE segment SET terminals = 'x' WHERE first = 25", "the list of segments is damaged"),
        ("DELETE FROM segment WHERE first = 1", "has a gap: after row 0 comes segment 2026-02"),
        ("DELETE FROM segment WHERE first = 25", "first row is 49, but its list of segments ends at 24"),
        ("DELETE FROM segment", "first row is 49, but its list of segments ends at 0"),
    ],
)
def test_the_list_of_segments(
    archived: Path, verified: Any, folder: Path, opened: Any, statement: str, why: str
) -> None:
    on(folder / JOURNAL_FILE, statement)
    assert any(why in line for line in said(verified()))
    with pytest.raises(StorageFailed, match="list of segments"):
        opened()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM archived_request WHERE segment = 1",
        "DELETE FROM archived_request WHERE rowid = (SELECT max(rowid) FROM archived_request WHERE segment = 1)",
        "UPDATE archived_request SET digests = zeroblob(24) WHERE segment = 1",
    ],
)
def test_d6_the_list_of_requests(archived: Path, verified: Any, folder: Path, statement: str) -> None:
    on(folder / JOURNAL_FILE, statement)
    assert said(verified()) == ["the list of requests of segment 2026-01 (rows 1 to 24) is damaged"]


def test_a_row_put_before_the_first_row(archived: Path, verified: Any, folder: Path) -> None:
    on(
        folder / JOURNAL_FILE,
        f"ATTACH '{archived / JANUARY}' AS s; INSERT INTO record SELECT * FROM s.record WHERE sequence = 5",
    )
    report = verified()
    assert report.intact  # as after an archive run that was interrupted
    assert report.notes == ("1 rows are in a segment and not yet removed here; the next start goes on with that",)
    on(folder / JOURNAL_FILE, "UPDATE record SET link = zeroblob(32) WHERE sequence = 5")
    assert said(verified()) == ["table record has a row before the first row of this journal: 5"]


# --- not here --------------------------------------------------------------------------------------------------------


def test_a_missing_segment_is_damage_unless_it_was_meant(archived: Path, verified: Any, opened: Any) -> None:
    (archived / JANUARY).unlink()
    found = said(verified())
    assert len(found) == 1
    assert found[0].startswith(f"{JANUARY} is missing: rows 1 to 24; put it back, or verify with --segments-elsewhere")
    report = verified(Looks(elsewhere=True))
    assert report.intact
    assert [one.seen for one in report.segments] == [Seen.NOT_HERE, Seen.ROWS]
    assert opened().head().sequence == 72


def test_d31_the_anchor_stays_right(archived: Path, verified: Any, folder: Path, opened: Any, rows: Any) -> None:
    store = opened()
    store.write([rows.sale(5000)])
    store.close()
    assert (verified().anchor_sequence, verified().head.sequence) == (74, 74)
    with closing(apsw.Connection(str(folder / JOURNAL_FILE))) as connection:
        connection.execute("DELETE FROM record WHERE sequence > 70; DELETE FROM message WHERE sequence > 70")
    assert any("ends at row 70, but the anchor knows row 74" in line for line in said(verified()))


def test_d31_an_anchor_older_than_the_archive_is_compared_with_the_segment(
    opened: Any, rows: Any, folder: Path, verified: Any, tmp_path: Path, opening_at: Any
) -> None:
    def half_filled(where: Path) -> SqliteStore:
        store: SqliteStore = opening_at(where)
        store.write([rows.sale(number) for number in range(5)])
        store.close()
        return store

    half_filled(folder)
    older = (folder / ANCHOR_FILE).read_bytes()
    half_filled(tmp_path / "other")
    foreign = (tmp_path / "other" / ANCHOR_FILE).read_bytes()
    store = opened()
    fill(store, rows)
    archive_all(store)
    store.close()
    (folder / ANCHOR_FILE).write_bytes(older)
    assert verified().intact
    (folder / ANCHOR_FILE).write_bytes(foreign)
    assert any("row 10 is not the row that the anchor knows" in line for line in said(verified()))
    with pytest.raises(StorageFailed, match="row 10 is not the row that the anchor knows"):
        opened()
