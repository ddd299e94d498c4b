"""D34: the journals of earlier posds, made by them, are upgraded, fold to what they folded to, and go on."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import pytest

from posd.core import events as e
from posd.core.payload import FOLD_VERSION, dump_state
from posd.core.station import STATION
from posd.daemon.archive.stopped import archive
from posd.daemon.clock import SystemClock
from posd.daemon.recover import NO_SNAPSHOT, fold, known
from posd.daemon.shown.offline import OfflineJournal
from posd.errors import ConfigError, StorageFailed
from posd.journal.archive import do, works_to_archive
from posd.journal.connect import JOURNAL_FILE, SCHEMA_VERSION
from posd.journal.opening import open_store
from posd.journal.reader import JournalReader
from posd.journal.schema import MIGRATIONS
from posd.journal.sqlite import SqliteStore
from posd.journal.verify import verify
from posd.security.machine import load_machine_key
from posd.security.vault import DataKeys
from posd.values import Now, Tid, Who
from tests.daemon.nac_stage import stage as nac_stage
from tests.daemon.stage import Stage, play
from tests.journal.conftest import DiskVfs
from tests.journal.corpus.make import DAYS, summary
from tests.journal.months_of_sales import everything

CORPUS = Path(__file__).parents[1] / "journal" / "corpus"
MakeStage = Callable[..., Stage]


@pytest.fixture(params=list(DAYS))
def day(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def unpacked(day: str, folder: Path) -> Path:
    """The files of one journal, as that posd left them; where the journal is."""
    with zipfile.ZipFile(CORPUS / f"{day}.zip") as packed:
        packed.extractall(folder)
    for path in [folder / "machine.key", *folder.glob("*.tmk"), *(folder / "state" / "keys").iterdir()]:
        path.chmod(0o600)
    return folder / "state" / "journal"


def expected(day: str) -> dict[str, Any]:
    """What the posd that wrote it had made of it."""
    said: dict[str, Any] = json.loads((CORPUS / f"{day}.json").read_text())
    return said


def opened(folder: Path, **other: Any) -> SqliteStore:
    key = load_machine_key(folder / "machine.key")
    vault = DataKeys(folder / "state" / "keys", key)
    keys = (key.derive("chain"), key.derive("digest"), vault)
    return open_store(folder / "state" / "journal", *keys, ballast_bytes=4096, free_bytes_min=0, **other)


def chain_key(folder: Path) -> bytes:
    return load_machine_key(folder / "machine.key").derive("chain")


def schema_of(folder: Path) -> int:
    connection = apsw.Connection(str(folder / "state" / "journal" / JOURNAL_FILE), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return int(connection.pragma("user_version"))
    finally:
        connection.close()


def states(store: SqliteStore) -> dict[str, Any]:
    """Each terminal's, from its snapshot and from all its records: both are the same."""
    said = {}
    for tid in store.tids():
        if tid == STATION:
            continue
        recovered, whole = known(store, Tid(tid)), fold(store.replay(tid, NO_SNAPSHOT).records, None)
        assert recovered is not None
        assert whole is not None
        assert (recovered.fenced, whole.fenced) == ("", "")
        assert recovered.state == whole.state
        said[tid] = json.loads(json.dumps(summary(recovered.state)))
    return said


def test_d34_it_is_upgraded_and_folds_to_what_it_folded_to(day: str, tmp_path: Path) -> None:
    unpacked(day, tmp_path)
    assert schema_of(tmp_path) < SCHEMA_VERSION
    store = opened(tmp_path)
    assert schema_of(tmp_path) == SCHEMA_VERSION
    assert states(store) == expected(day)
    store.close()
    assert verify(tmp_path / "state" / "journal", chain_key(tmp_path)).intact


def test_d34_a_reader_reads_it_as_it_is_and_upgrades_nothing(day: str, tmp_path: Path) -> None:
    folder = unpacked(day, tmp_path)
    before = schema_of(tmp_path)
    assert verify(folder, chain_key(tmp_path)).intact
    with JournalReader(folder) as reader:
        rows = list(reader.merged())
        assert [row.sequence for row in rows] == list(range(1, len(rows) + 1))
        assert reader.archived() == []
    assert schema_of(tmp_path) == before


def test_d33_its_open_batch_stays(day: str, tmp_path: Path) -> None:
    folder = unpacked(day, tmp_path)
    store = opened(tmp_path)
    before = states(store)
    said = archive(
        store, frozenset(before), None, "Asia/Shanghai", InTenYears(), lambda said: None, "", Who(uid=0, user="root")
    )
    assert said["archived"] == []
    assert " is needed: " in said["held"][0]["why"]
    assert states(store) == before
    store.close()
    assert verify(folder, chain_key(tmp_path)).intact


def test_d33_its_rows_can_be_archived_and_its_file_gives_room_back_then(day: str, tmp_path: Path) -> None:
    """The posd that made the file had not provided for it."""
    folder = unpacked(day, tmp_path)
    store = opened(tmp_path)
    before, rows = states(store), everything(folder)
    assert not store.can_give_back
    for tid in before:
        state = known(store, Tid(tid))
        assert state is not None
        store.save_snapshot(tid, store.head().sequence, FOLD_VERSION, dump_state(state.state))
    for work in works_to_archive(store, "2026-11", store.head().sequence - 20):
        do(work)
    store.rewrite()
    assert store.can_give_back
    assert states(store) == before
    store.close()
    assert everything(folder) == rows
    report = verify(folder, chain_key(tmp_path))
    assert (report.intact, report.rows) == (True, len(rows))
    again = opened(tmp_path)
    assert states(again) == before
    again.close()


@dataclass
class InTenYears:
    """When all its months are over."""

    def now(self) -> Now:
        return Now(2_100_000_000_000, 0.0)

    def monotonic_s(self) -> float:
        return 0.0


def a_stage(day: str, tmp_path: Path, patch: pytest.MonkeyPatch) -> Stage:
    """posd of today on that journal, before a host that knows its open batch."""
    if day == "nac":
        return nac_stage(tmp_path, patch)
    return Stage(tmp_path, patch)


def test_d34_it_answers_sells_and_settles(day: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the host of then had is not in the host of now: the books differ, and the close says so."""
    unpacked(day, tmp_path)
    monkeypatch.setattr("tests.daemon.stage.write_keys", lambda *args: None)
    monkeypatch.setattr("tests.daemon.nac_stage.create_machine_key", lambda path: None)
    (tid,) = expected(day)

    async def story(stage: Stage) -> None:
        await stage.start(signed_in=False)
        before = stage.state(tid)
        if day == "nac":
            await stage.do("logon")  # type: ignore[attr-defined]
        await stage.until(lambda: stage.state(tid).session.signed_in)
        await stage.until(lambda: not stage.state(tid).unended_reversals())
        with OfflineJournal(stage.daemon.settings, SystemClock().now()) as journal:
            status = journal.answer("status", {})
            assert [one["tid"] for one in status["terminals"]] == [tid]
            for of, (kind, *_) in (expected(day)[tid]["open"] | expected(day)[tid]["closed"]).items():
                assert journal.show(of)["transaction"]["kind"] == kind
        if day == "nac":  # its host takes no totals of a batch that it has never seen
            stage.nac_clients[tid].terminal.stan = 900_000  # type: ignore[attr-defined]
            assert (await stage.sale("3.00"))["code"] == "00"
        else:
            await sell_and_settle(stage, tid)
            assert stage.state(tid).batch.identity > before.batch.identity
        assert stage.state(tid).stan > before.stan
        await stage.end()
        assert verify(tmp_path / "state" / "journal", chain_key(tmp_path)).intact

    play(a_stage(day, tmp_path, monkeypatch), story)


async def sell_and_settle(stage: Stage, tid: str) -> None:
    client, batch = stage.terminal(tid), stage.state(tid).batch.identity
    client.terminal.stan, client.terminal.batch = 900_000, 77
    for _ in range(3):
        await client.do({"do": "sign_in"})
        if (sold := await stage.sale("3.00", tid))["code"] != "A0":  # D26: there were newer keys meanwhile
            break
    assert sold["outcome"] == "approved", sold
    done = await stage.daemon.lanes[Tid(tid)].command(e.SettleNow("now", "anna"))
    assert done.ok, done.text
    await stage.until(lambda: stage.state(tid).batch.identity > batch)


# --- the step itself -------------------------------------------------------------------------------------------------


def test_there_is_a_way_from_every_earlier_schema() -> None:
    assert sorted(MIGRATIONS) == list(range(1, SCHEMA_VERSION))


def test_d34_an_upgraded_journal_has_the_tables_of_a_new_one(tmp_path: Path) -> None:
    unpacked("trunk", tmp_path / "old")
    opened(tmp_path / "old").close()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "machine.key").write_bytes((tmp_path / "old" / "machine.key").read_bytes())
    (tmp_path / "new" / "machine.key").chmod(0o600)
    opened(tmp_path / "new").close()
    assert tables(tmp_path / "old") == tables(tmp_path / "new")


def tables(folder: Path) -> list[str]:
    connection = apsw.Connection(str(folder / "state" / "journal" / JOURNAL_FILE))
    try:
        rows = connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY sql").fetchall()
        return [str(sql) for (sql,) in rows]
    finally:
        connection.close()


@pytest.mark.parametrize("operation", ["write", "sync"])
def test_d34_an_upgrade_that_fails_at_any_operation_is_whole_or_not_begun(operation: str, tmp_path: Path) -> None:
    disk = DiskVfs(f"upgrade-{operation}")
    try:
        for number in range(1, 200):
            folder = tmp_path / str(number)
            unpacked("trunk", folder)
            disk.fail = failing_at(number, operation)
            failed = False
            try:
                opened(folder, vfs=disk.name).close()
            except StorageFailed:
                failed = True
            finally:
                disk.fail = lambda operation, file: None
            assert schema_of(folder) in (1, SCHEMA_VERSION)
            store = opened(folder)
            assert states(store) == expected("trunk")
            store.close()
            assert schema_of(folder) == SCHEMA_VERSION
            if not failed:
                break
        assert number > 2
    finally:
        disk.unregister()


def failing_at(number: int, operation: str) -> Callable[[str, str], Exception | None]:
    seen = 0

    def fail(this: str, file: str) -> Exception | None:
        nonlocal seen
        seen += this == operation
        return apsw.IOError("planted") if this == operation and seen == number else None

    return fail


def test_d34_a_downgrade_is_refused_by_name_and_remedy(tmp_path: Path) -> None:
    folder = unpacked("trunk", tmp_path)
    connection = apsw.Connection(str(folder / JOURNAL_FILE))
    connection.pragma("user_version", SCHEMA_VERSION + 1)
    connection.close()
    why = (
        rf"schema version {SCHEMA_VERSION + 1} is newer than this posd knows \({SCHEMA_VERSION}\); there is no way back"
    )
    with pytest.raises(ConfigError, match=why):
        opened(tmp_path)
    with pytest.raises(ConfigError, match=why):
        JournalReader(folder)


def test_a_journal_of_another_machine_key_is_not_upgraded(tmp_path: Path) -> None:
    unpacked("trunk", tmp_path)
    (tmp_path / "machine.key").write_text("ab" * 32)
    with pytest.raises(ConfigError, match="machine key does not fit"):
        opened(tmp_path)
    assert schema_of(tmp_path) == 1
