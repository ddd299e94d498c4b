"""Reading beside a writer and without one."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from posd.errors import ConfigError, StorageFailed
from posd.journal.connect import JOURNAL_FILE
from posd.journal.contract import MessageView, RecordView
from posd.journal.reader import PAGE_ROWS, JournalReader


@pytest.fixture
def store(opened: Any, rows: Any) -> Any:
    store = opened()
    for number in range(10):
        store.write([rows.sale(number, "AAAAAAAA" if number % 2 else "BBBBBBBB")])
    store.write([[rows.record(50, "AAAAAAAA", request_id="r", stan=None, rrn=None, batch=7, secret=None)]])
    return store


@pytest.fixture
def reader(store: Any, folder: Path) -> Any:
    with JournalReader(folder) as reader:
        yield reader


def sequences(rows: Any) -> list[int]:
    return [row.sequence for row in rows]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21]),
        ({"tid": "AAAAAAAA"}, [3, 7, 11, 15, 19, 21]),
        ({"stan": 5}, [9]),
        ({"rrn": "000000000003"}, [7]),
        ({"request_id": "r"}, [21]),
        ({"tid": "AAAAAAAA", "batch": 1}, [3, 7, 11, 15, 19]),
        ({"tid": "AAAAAAAA", "batch": 7}, [21]),
        ({"kind": "Approved", "limit": 2}, [1, 3]),
        ({"kind": "Declined"}, []),
        ({"after": 15}, [17, 19, 21]),
        ({"after": 15, "limit": 1, "tid": "AAAAAAAA"}, [19]),
        ({"limit": 0}, []),
        ({"newest_first": True, "limit": 3}, [21, 19, 17]),
        ({"newest_first": True, "after": 7}, [5, 3, 1]),
        ({"tid": "' OR 1=1 --"}, []),
    ],
)
def test_records(reader: JournalReader, wanted: dict[str, Any], expected: list[int]) -> None:
    assert sequences(reader.records(**wanted)) == expected


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"tid": "AAAAAAAA"}, [4, 8, 12, 16, 20]),
        ({"stan": 5}, [10]),
        ({"mti": "0200", "limit": 1}, [2]),
        ({"mti": "0210"}, []),
    ],
)
def test_messages(reader: JournalReader, wanted: dict[str, Any], expected: list[int]) -> None:
    assert sequences(reader.messages(**wanted)) == expected


def test_merged(reader: JournalReader) -> None:
    assert sequences(reader.merged()) == list(range(1, 22))
    assert sequences(reader.merged(limit=3, after=4)) == [5, 6, 7]
    assert sequences(reader.merged(newest_first=True, limit=3)) == [21, 20, 19]
    assert sequences(reader.merged(stan=5)) == [9, 10]


def test_what_a_view_shows(reader: JournalReader, canary: str) -> None:
    record, message = reader.merged(limit=2)
    assert isinstance(record, RecordView)
    assert isinstance(message, MessageView)
    assert record.as_dict() == {
        **{"row": "record", "sequence": 1, "tid": "BBBBBBBB", "kind": "Approved", "version": 1},
        **{"at_ms": 1_765_000_000_000, "payload": '{"n":0}', "request_id": "BBBBBBBB/000001/000001/0200/000000"},
        **{"stan": 1, "rrn": "000000000000", "batch": 1, "sealed": True, "key_id": "00000000000000aa"},
    }
    shown = message.as_dict()
    assert (shown["row"], shown["mti"], shown["direction"], shown["peer"]) == ("message", "0200", "out", "host")
    assert len(shown["digest"]) == 64
    assert canary not in repr([record, message])


def test_reads_while_the_writer_writes(store: Any, reader: JournalReader, rows: Any) -> None:
    walk = reader.records()
    first = next(walk)
    for number in range(100, 200):
        store.write([rows.sale(number)])
        store.upkeep()
    assert first.sequence == 1
    assert len(list(walk)) >= 10
    assert sequences(reader.records(limit=1, newest_first=True)) == [220]


def test_more_rows_than_a_page(opened: Any, rows: Any, folder: Path) -> None:
    store = opened()
    store.write([[rows.record(i, secret=None) for i in range(2 * PAGE_ROWS + 1)], [rows.message(1)]])
    with JournalReader(folder) as reader:
        assert len(list(reader.records())) == 2 * PAGE_ROWS + 1
        assert len(list(reader.records(limit=PAGE_ROWS + 3))) == PAGE_ROWS + 3
        assert len(list(reader.merged(newest_first=True))) == 2 * PAGE_ROWS + 2


def test_reads_when_the_daemon_is_down(store: Any, folder: Path) -> None:
    store.close()
    with JournalReader(folder / JOURNAL_FILE) as reader:
        assert len(list(reader.merged())) == 21


def test_reads_what_a_killed_daemon_left(store: Any, folder: Path, tmp_path: Path) -> None:
    left = tmp_path / "left"
    shutil.copytree(folder, left)
    with JournalReader(left) as reader:
        assert len(list(reader.merged())) == 21


def test_no_journal(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no journal here yet"):
        JournalReader(tmp_path)
    (tmp_path / JOURNAL_FILE).touch()
    with pytest.raises(ConfigError, match="there is no journal here yet"):
        JournalReader(tmp_path)


def test_a_damaged_file_is_a_storage_failure(store: Any, folder: Path) -> None:
    store.close()
    for suffix in ("-wal", "-shm"):
        (folder / f"{JOURNAL_FILE}{suffix}").unlink()
    data = (folder / JOURNAL_FILE).read_bytes()
    (folder / JOURNAL_FILE).write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
    with pytest.raises(StorageFailed, match="SQLITE_CORRUPT"), JournalReader(folder) as reader:
        list(reader.merged())


@pytest.mark.parametrize(
    ("sql", "index"),
    [
        ("SELECT * FROM record WHERE request_id = ? ORDER BY sequence", "record_request"),
        ("SELECT * FROM record WHERE stan = ? ORDER BY sequence", "record_stan"),
        ("SELECT * FROM record WHERE rrn = ? ORDER BY sequence", "record_rrn"),
        ("SELECT * FROM record WHERE tid = ? AND sequence > 5 ORDER BY sequence LIMIT 10", "record_tid"),
        ("SELECT * FROM record WHERE tid = ? AND batch = 1 ORDER BY sequence", "record_batch"),
        ("SELECT * FROM message WHERE request_id = ? ORDER BY sequence", "message_request"),
        ("SELECT * FROM message WHERE stan = ? ORDER BY sequence", "message_stan"),
        ("SELECT * FROM message WHERE rrn = ? ORDER BY sequence", "message_rrn"),
        ("SELECT * FROM message WHERE tid = ? AND batch = 1 ORDER BY sequence", "message_batch"),
    ],
)
def test_the_indexes_serve(store: Any, sql: str, index: str) -> None:
    plan = " ".join(str(row[3]) for row in store._reader.execute(f"EXPLAIN QUERY PLAN {sql}", ("x",)))
    assert f"INDEX {index} " in plan
    assert "TEMP B-TREE" not in plan
