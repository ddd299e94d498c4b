"""Damage of every kind that a disk or a hand can do is found, by verify and where it matters by the next start (P4)."""

import re
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from posd.errors import ConfigError, PosdError, StorageFailed
from posd.journal.anchor import ANCHOR_FILE, SLOT_BLOCK_BYTES, SLOT_BYTES
from posd.journal.chain import MESSAGE_COLUMNS, RECORD_COLUMNS
from posd.journal.connect import JOURNAL_FILE
from posd.journal.verify import FINDINGS_MAX, verify

SALES = 6
RECORDS = range(1, 2 * SALES, 2)
MESSAGES = range(2, 2 * SALES + 1, 2)


@pytest.fixture
def written(opened: Any, rows: Any, folder: Path) -> Path:
    """A closed journal with six sales: records have odd sequences, messages even ones."""
    store = opened()
    for number in range(SALES):
        store.write([rows.sale(number)])
    store.save_snapshot("12345678", 5, 1, '{"state":5}')
    store.close()
    return folder


@pytest.fixture
def damage(written: Path) -> Callable[..., None]:
    """Runs SQL on the closed journal, as somebody with a shell would; the anchor stays."""

    def execute(*statements: str) -> None:
        with closing(apsw.Connection(str(written / JOURNAL_FILE))) as connection:
            for statement in statements:
                connection.execute(statement)

    return execute


def findings(folder: Path, chain_key: bytes) -> list[str]:
    return [str(finding) for finding in verify(folder, chain_key).findings]


def test_an_intact_journal_has_no_findings(written: Path, chain_key: bytes) -> None:
    report = verify(written, chain_key)
    assert report.intact
    assert (report.rows, report.head.sequence, report.anchor_sequence) == (12, 12, 12)


CHANGES = {int: "{0} + 1", str: "'x' || substr({0}, 2)", bytes: "zeroblob(length({0}))"}
NUMBERS = {"version", "at_ms", "stan", "batch"}
BLOBS = {"digest", "nonce", "sealed", "link"}


def change(column: str) -> str:
    kind = int if column in NUMBERS else bytes if column in BLOBS else str
    return CHANGES[kind].format(column)


@pytest.mark.parametrize("sequence", [1, 5, 11])
@pytest.mark.parametrize("column", [*RECORD_COLUMNS[1:], "link"])
def test_each_column_of_a_record(damage: Any, written: Path, chain_key: bytes, column: str, sequence: int) -> None:
    damage(f"UPDATE record SET {column} = {change(column)} WHERE sequence = {sequence}")
    assert f"row {sequence}: does not fit the chain: changed, moved or added" in findings(written, chain_key)


@pytest.mark.parametrize("sequence", [2, 12])
@pytest.mark.parametrize("column", [*MESSAGE_COLUMNS[1:], "link"])
def test_each_column_of_a_message(damage: Any, written: Path, chain_key: bytes, column: str, sequence: int) -> None:
    before = "NULL" if column in {"request_id", "rrn", "batch"} else None
    value = {"request_id": "'r'", "rrn": "'r'", "batch": "7"}[column] if before else change(column)
    damage(f"UPDATE message SET {column} = {value} WHERE sequence = {sequence}")
    found = findings(written, chain_key)
    assert f"row {sequence}: does not fit the chain: changed, moved or added" in found


def test_one_changed_row_is_one_finding(damage: Any, written: Path, chain_key: bytes) -> None:
    damage("UPDATE record SET payload = '{\"n\":99}' WHERE sequence = 5")
    assert findings(written, chain_key) == ["row 5: does not fit the chain: changed, moved or added"]


@pytest.mark.parametrize("column", ["request_id", "stan", "rrn", "batch", "sealed"])
def test_a_column_set_to_null(damage: Any, written: Path, chain_key: bytes, column: str) -> None:
    damage(f"UPDATE record SET {column} = NULL WHERE sequence = 3")
    assert findings(written, chain_key)


@pytest.mark.parametrize("sequence", range(1, 2 * SALES + 1))
def test_a_deleted_row(damage: Any, written: Path, chain_key: bytes, sequence: int) -> None:
    damage(f"DELETE FROM record WHERE sequence = {sequence}", f"DELETE FROM message WHERE sequence = {sequence}")
    found = findings(written, chain_key)
    expected = (
        f"row {sequence}: missing" if sequence < 12 else "the journal ends at row 11, but the anchor knows row 12"
    )
    assert any(expected in line for line in found)


def test_swapped_rows(damage: Any, written: Path, chain_key: bytes) -> None:
    damage(*(f"UPDATE record SET sequence = {new} WHERE sequence = {old}" for old, new in ((3, 99), (5, 3), (99, 5))))
    found = findings(written, chain_key)
    assert any(line.startswith("row 3:") for line in found)
    assert any(line.startswith("row 5:") for line in found)


@pytest.mark.parametrize("place", [0, 13, 20, 4])
def test_a_duplicated_row(damage: Any, written: Path, chain_key: bytes, place: int) -> None:
    columns = ", ".join([*RECORD_COLUMNS[1:], "link"])
    damage(f"INSERT INTO record SELECT {place}, {columns} FROM record WHERE sequence = 11")
    assert findings(written, chain_key)


def test_a_record_turned_into_a_message(damage: Any, written: Path, chain_key: bytes) -> None:
    damage(
        "INSERT INTO message SELECT sequence, tid, at_ms, kind, 'host', '0200', payload, link, request_id, stan, rrn,"
        " batch, key_id, nonce, sealed, link FROM record WHERE sequence = 5",
        "DELETE FROM record WHERE sequence = 5",
    )
    assert findings(written, chain_key)


def test_all_rows_deleted(damage: Any, written: Path, chain_key: bytes) -> None:
    damage("DELETE FROM record", "DELETE FROM message")
    assert any("ends at row 0, but the anchor knows row 12" in line for line in findings(written, chain_key))


def test_text_that_is_not_utf8(damage: Any, written: Path, chain_key: bytes) -> None:
    damage("UPDATE record SET payload = CAST(X'7BFF7D' AS TEXT) WHERE sequence = 5")
    assert any(line.startswith("row 5: cannot be read") for line in findings(written, chain_key))


@pytest.mark.parametrize("column", ["sequence", "fold_version", "state", "mac"])
def test_d33_a_damaged_snapshot_is_named_and_not_used(
    damage: Any, written: Path, chain_key: bytes, opened: Any, column: str
) -> None:
    value = {"sequence": "7", "fold_version": "2", "state": "'{}'", "mac": "X'00'"}[column]
    damage(f"UPDATE snapshot SET {column} = {value}")
    assert any("snapshot of terminal 12345678 is damaged" in line for line in findings(written, chain_key))
    replay = opened().replay("12345678", 2 if column == "fold_version" else 1)
    assert replay[:2] == (None, 0)
    assert len(list(replay.records)) == SALES


@pytest.mark.parametrize("column", ["journal_id", "base_link", "key_check", "base_sequence"])
def test_the_journals_own_row(damage: Any, written: Path, chain_key: bytes, opened: Any, column: str) -> None:
    damage(f"UPDATE journal SET {column} = {'-1' if column == 'base_sequence' else change_blob(column)}")
    with pytest.raises(StorageFailed, match="own row is damaged"):
        verify(written, chain_key)
    with pytest.raises(StorageFailed, match="own row is damaged"):
        opened()


def change_blob(column: str) -> str:
    return CHANGES[bytes].format(column)


def test_the_wrong_machine_key(written: Path, opened: Any) -> None:
    with pytest.raises(ConfigError, match="machine key does not fit this journal"):
        verify(written, b"another key, of length 32 bytes.")
    with pytest.raises(ConfigError, match="machine key does not fit this journal"):
        opened(chain_key=b"another key, of length 32 bytes.")


def test_many_findings_end(opened: Any, rows: Any, damage: Any, written: Path, chain_key: bytes) -> None:
    store = opened()
    store.write([[rows.record(i, secret=None) for i in range(FINDINGS_MAX + 500)]])
    store.close()
    damage("UPDATE record SET at_ms = at_ms + 1")
    found = findings(written, chain_key)
    assert len(found) <= FINDINGS_MAX + 10
    assert f"more than {FINDINGS_MAX} findings; the rest is not listed" in found


# -- what the next start sees ------------------------------------------------------------------------------------


def test_start_refuses_a_changed_last_row(damage: Any, opened: Any) -> None:
    damage("UPDATE message SET fields = '{}' WHERE sequence = 12")
    with pytest.raises(StorageFailed, match="row 12: does not fit the chain"):
        opened()


def test_start_refuses_a_head_other_than_the_anchors(damage: Any, opened: Any) -> None:
    damage("UPDATE message SET link = zeroblob(32) WHERE sequence = 12")
    with pytest.raises(StorageFailed, match=r"row 12 is not the row that the anchor knows .*ends at row 12"):
        opened()


def test_start_refuses_lost_rows_and_names_both_numbers(damage: Any, opened: Any) -> None:
    damage("DELETE FROM message WHERE sequence > 10", "DELETE FROM record WHERE sequence > 10")
    with pytest.raises(StorageFailed, match="ends at row 10, but the anchor knows row 12"):
        opened()


@pytest.mark.parametrize("sequence", [1, 2, 5, 7, 8])
def test_replay_refuses_what_it_would_fold_and_more(damage: Any, opened: Any, sequence: int) -> None:
    damage(f"UPDATE record SET at_ms = 1 WHERE sequence = {sequence}")
    damage(f"UPDATE message SET at_ms = 1 WHERE sequence = {sequence}")
    with pytest.raises(StorageFailed, match=f"row {sequence}: does not fit the chain"):
        opened().replay("12345678", 2)  # another fold version: from the beginning


def test_replay_after_a_snapshot_reads_only_what_it_needs(damage: Any, opened: Any) -> None:
    damage("UPDATE record SET at_ms = 1 WHERE sequence = 3")
    assert len(list(opened().replay("12345678", 1).records)) == 3


# -- files -------------------------------------------------------------------------------------------------------


def test_d31_an_older_copy_of_the_database_put_back(opened: Any, rows: Any, written: Path, tmp_path: Path) -> None:
    copy = tmp_path / "backup"
    shutil.copytree(written, copy)
    store = opened()
    store.write([rows.sale(7)])
    store.close()
    for name in (JOURNAL_FILE, f"{JOURNAL_FILE}-wal", f"{JOURNAL_FILE}-shm"):
        shutil.copy(copy / name, written / name)
    with pytest.raises(StorageFailed, match="ends at row 12, but the anchor knows row 14"):
        opened()


def test_the_whole_folder_put_back_is_accepted(opened: Any, rows: Any, written: Path, tmp_path: Path) -> None:
    copy = tmp_path / "backup"
    shutil.copytree(written, copy)
    store = opened()
    store.write([rows.sale(7)])
    store.close()
    shutil.rmtree(written)
    shutil.copytree(copy, written)
    assert opened().head().sequence == 12


def crash_copy(folder: Path, to: Path) -> None:
    """What kill -9 leaves: the files as they are, with rows in the log that no checkpoint has moved."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns("*-shm"))


@pytest.mark.parametrize("cut", [0, 32, 5000, -1, -2000, -4121])
def test_a_cut_log(opened: Any, rows: Any, folder: Path, tmp_path: Path, chain_key: bytes, cut: int) -> None:
    store = opened()
    for number in range(20):
        store.write([rows.sale(number)])
    crashed = tmp_path / "crashed"
    crash_copy(folder, crashed)
    assert verify(crashed, chain_key).rows == 40
    log = crashed / f"{JOURNAL_FILE}-wal"
    log.write_bytes(log.read_bytes()[:cut])
    assert not_accepted(crashed, chain_key)


@pytest.mark.parametrize("part", range(1, 20))
def test_a_flipped_bit_in_the_log(
    opened: Any, rows: Any, folder: Path, tmp_path: Path, chain_key: bytes, part: int
) -> None:
    store = opened()
    for number in range(20):
        store.write([rows.sale(number)])
    crashed = tmp_path / "crashed"
    crash_copy(folder, crashed)
    log = crashed / f"{JOURNAL_FILE}-wal"
    data = bytearray(log.read_bytes())
    data[len(data) * part // 20] ^= 1
    log.write_bytes(data)
    assert not_accepted(crashed, chain_key)


def not_accepted(folder: Path, chain_key: bytes) -> bool:
    try:
        return not verify(folder, chain_key).intact
    except PosdError:
        return True


@pytest.mark.parametrize("needle", [b'{"n":3}', b"622588*", b"000000000003", b"/000004/", b"00000000000000aa"])
def test_a_flipped_bit_in_table_or_index(damage: Any, written: Path, chain_key: bytes, needle: bytes) -> None:
    # a payload bit passes SQLite's integrity_check, an index bit passes the chain: verify asks both
    damage("PRAGMA wal_checkpoint(TRUNCATE)")
    path = written / JOURNAL_FILE
    pristine = path.read_bytes()
    places = [match.start() for match in re.finditer(re.escape(needle), pristine)]
    assert places
    for place in places:
        data = bytearray(pristine)
        data[place + len(needle) - 2] ^= 1
        path.write_bytes(data)
        assert not_accepted(written, chain_key), place
    path.write_bytes(pristine)
    assert verify(written, chain_key).intact


def test_d29_no_copy_of_the_card_number_on_the_disk(opened: Any, rows: Any, folder: Path, canary: str) -> None:
    store = opened()
    store.write([rows.sale(1)])
    for path in folder.iterdir():
        assert canary.encode() not in path.read_bytes(), path
    store.close()
    for path in folder.iterdir():
        assert canary.encode() not in path.read_bytes(), path


# -- the anchor --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("byte", range(0, SLOT_BYTES, 5))
@pytest.mark.parametrize("slot", [0, 1])
def test_d31_one_damaged_slot_is_named_and_the_other_serves(
    written: Path, chain_key: bytes, opened: Any, slot: int, byte: int
) -> None:
    path = written / ANCHOR_FILE
    data = bytearray(path.read_bytes())
    data[slot * SLOT_BLOCK_BYTES + byte] ^= 1
    path.write_bytes(data)
    assert findings(written, chain_key) == [f"slot {slot} of the anchor cannot be read"]
    assert opened().head().sequence == 12


def test_both_slots_damaged(written: Path, chain_key: bytes, opened: Any) -> None:
    (written / ANCHOR_FILE).write_bytes(bytes(2 * SLOT_BLOCK_BYTES))
    assert not_accepted(written, chain_key)
    with pytest.raises(StorageFailed, match="neither slot of the anchor is readable"):
        opened()


def test_a_missing_anchor(written: Path, chain_key: bytes, opened: Any) -> None:
    (written / ANCHOR_FILE).unlink()
    assert not_accepted(written, chain_key)
    with pytest.raises(StorageFailed, match="the anchor is missing"):
        opened()


def test_a_missing_database(written: Path, opened: Any) -> None:
    for path in written.glob(f"{JOURNAL_FILE}*"):
        path.unlink()
    with pytest.raises(StorageFailed, match="but the anchor knows row 12"):
        opened()


def test_d31_a_database_ahead_of_the_anchor_is_accepted(
    written: Path, opened: Any, rows: Any, chain_key: bytes
) -> None:
    older = (written / ANCHOR_FILE).read_bytes()
    store = opened()
    store.write([rows.sale(7)])
    store.close()
    (written / ANCHOR_FILE).write_bytes(older)
    assert verify(written, chain_key).intact
    assert opened().head().sequence == 14


def test_rows_between_anchor_and_head_are_verified_at_start(written: Path, opened: Any, rows: Any, damage: Any) -> None:
    older = (written / ANCHOR_FILE).read_bytes()
    store = opened()
    store.write([rows.sale(7), rows.sale(8)])
    store.close()
    (written / ANCHOR_FILE).write_bytes(older)
    damage("UPDATE record SET kind = 'Declined' WHERE sequence = 13")
    with pytest.raises(StorageFailed, match="row 13: does not fit the chain"):
        opened()


def test_another_journals_database(written: Path, opened: Any, rows: Any, tmp_path: Path) -> None:
    keep = tmp_path / "keep"
    shutil.copytree(written, keep)
    shutil.rmtree(written)
    store = opened()
    for number in range(SALES):
        store.write([rows.sale(number)])
    store.close()
    shutil.copy(keep / ANCHOR_FILE, written / ANCHOR_FILE)
    with pytest.raises(StorageFailed, match="not the row that the anchor knows"):
        opened()
