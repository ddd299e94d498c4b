"""What every store promises, over each store."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posd.errors import KeyTrouble, StorageFailed
from posd.journal.contract import Snapshot, Store
from posd.journal.memory import MemoryStore
from posd.journal.packing import pack_state, unpack_state

FOLD_VERSION = 3


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, opened: Any, chain_key: bytes, digest_key: bytes, sealer: Any) -> Store:
    if request.param == "memory":
        return MemoryStore(chain_key, digest_key, sealer)
    return opened()


@pytest.fixture
def restart(store: Store, opened: Any) -> Callable[[], Store]:
    """The store that the next start finds."""

    def again() -> Store:
        if isinstance(store, MemoryStore):
            return store.crashed()
        store.close()
        return opened()

    return again


def payloads(store: Store, tid: str = "12345678", fold_version: int = FOLD_VERSION) -> list[str]:
    return [record.payload for record in store.replay(tid, fold_version).records]


def test_new_is_empty(store: Store) -> None:
    assert store.head().sequence == 0
    assert store.tids() == []
    assert payloads(store) == []
    assert store.secret("none") is None
    assert store.write([]) == 0
    assert store.write([[]]) == 0


def test_one_sequence_over_records_and_messages(store: Store, rows: Any) -> None:
    assert store.write([rows.sale(1), rows.sale(2)]) == 4
    assert store.write([[rows.message(3), rows.record(3)]]) == 6
    assert [record.sequence for record in store.replay("12345678", FOLD_VERSION).records] == [1, 3, 6]
    assert store.head().sequence == 6


def test_replay_gives_what_was_appended_in_order(store: Store, rows: Any) -> None:
    store.write([[rows.record(i) for i in range(10)], [rows.record(i) for i in range(10, 12)]])
    assert payloads(store) == [f'{{"n":{i}}}' for i in range(12)]
    first = next(store.replay("12345678", FOLD_VERSION).records)
    assert (first.kind, first.version, first.at_ms) == ("Approved", 1, 1_765_000_000_000)


def test_replay_of_more_than_a_page(store: Store, rows: Any) -> None:
    store.write([[rows.record(i, secret=None) for i in range(2500)]])
    assert len(payloads(store)) == 2500


def test_terminals_are_apart(store: Store, rows: Any) -> None:
    store.write([[rows.record(1, "B0000001"), rows.record(2, "A0000001"), rows.record(3, "B0000001")]])
    store.write([[rows.message(4, "C0000001")]])
    assert store.tids() == ["A0000001", "B0000001"]
    assert payloads(store, "B0000001") == ['{"n":1}', '{"n":3}']


def test_everything_is_there_after_a_restart(store: Store, rows: Any, restart: Callable[[], Store]) -> None:
    store.write([rows.sale(1)])
    head = store.head()
    again = restart()
    assert again.head() == head
    assert payloads(again) == ['{"n":1}']
    assert again.write([rows.sale(2)]) == 4
    assert payloads(again) == ['{"n":1}', '{"n":2}']


def test_d33_snapshot_shortens_replay(store: Store, rows: Any, restart: Callable[[], Store]) -> None:
    last = store.write([[rows.record(1), rows.record(2)]])
    store.save_snapshot("12345678", last, FOLD_VERSION, '{"state":2}')
    store.write([[rows.record(3)]])
    for find in (lambda: store, restart):
        each = find()
        replay = each.replay("12345678", FOLD_VERSION)
        assert (replay.snapshot, replay.snapshot_sequence) == ('{"state":2}', last)
        assert [record.payload for record in replay.records] == ['{"n":3}']


def test_newest_snapshot_wins_and_other_terminals_have_none(store: Store, rows: Any) -> None:
    store.write([[rows.record(1), rows.record(2, "A0000001")]])
    store.save_snapshot("12345678", 1, FOLD_VERSION, "old")
    store.save_snapshot("12345678", 2, FOLD_VERSION, "new")
    assert store.replay("12345678", FOLD_VERSION)[:2] == ("new", 2)
    assert store.replay("A0000001", FOLD_VERSION)[:2] == (None, 0)


def test_d33_snapshot_of_another_fold_is_ignored(store: Store, rows: Any) -> None:
    store.write([[rows.record(1)]])
    store.save_snapshot("12345678", 1, FOLD_VERSION, "state")
    replay = store.replay("12345678", FOLD_VERSION + 1)
    assert replay[:2] == (None, 0)
    assert len(list(replay.records)) == 1


def test_snapshots_of_many_at_a_row_of_another(store: Store, rows: Any, restart: Callable[[], Store]) -> None:
    store.write([[rows.record(1), rows.record(2, "A0000001"), rows.message(3, "C0000001")]])
    both = [Snapshot("12345678", 3, FOLD_VERSION, "one"), Snapshot("A0000001", 3, FOLD_VERSION, "two")]
    store.save_snapshots(both)
    store.write([[rows.record(4)]])
    for find in (lambda: store, restart):
        each = find()
        assert [each.replay(one.tid, FOLD_VERSION)[:2] for one in both] == [("one", 3), ("two", 3)]
        assert [len(list(each.replay(one.tid, FOLD_VERSION).records)) for one in both] == [1, 0]


def test_a_state_comes_back_as_it_was(store: Store, rows: Any, restart: Callable[[], Store]) -> None:
    store.write([[rows.record(1)]])
    for state in ("", "{}", '{"text":"商户 \u0000 é"}', '{"n":"' + "x" * 500_000 + '"}'):
        store.save_snapshot("12345678", 1, FOLD_VERSION, state)
        assert store.replay("12345678", FOLD_VERSION).snapshot == state
    assert restart().replay("12345678", FOLD_VERSION).snapshot == state


def test_a_state_that_an_earlier_posd_stored_as_it_was_can_be_read() -> None:
    assert unpack_state('{"n":1}') == '{"n":1}'
    assert unpack_state(pack_state('{"n":1}')) == '{"n":1}'


def test_the_highest_request_is_of_all_that_were_ever_named(
    store: Store, rows: Any, restart: Callable[[], Store]
) -> None:
    """D6: a request above it was never sent, whatever happened since."""
    named = ["12345678/000009/000001/0200/000000", "12345678/000010/000007/0200/000000", "12345678/000002/999999/x"]
    others = ["12345677/999999/999999", "123456780/000011/000001", "12345678", "12345679/000001/000001", "12345678.9"]
    assert store.highest_request("12345678") == ""
    store.write([[rows.record(n, request_id=name) for n, name in enumerate([*named, *others])]])
    store.write([[rows.record(99, request_id=None)]])
    for find in (lambda: store, restart):
        each = find()
        assert each.highest_request("12345678") == max(named)
        assert each.highest_request("1234567") == ""


def test_secret_is_the_newest_of_the_request(store: Store, rows: Any, restart: Callable[[], Store]) -> None:
    store.write([[rows.record(1, request_id="r", secret=b"one"), rows.record(2, request_id="r", secret=b"two")]])
    store.write([[rows.record(3, request_id="r", secret=None), rows.record(4, request_id="s", secret=b"three")]])
    for find in (lambda: store, restart):
        each = find()
        assert each.secret("r") == b"two"
        assert each.secret("s") == b"three"
        assert each.secret("t") is None


def test_nothing_in_a_repr_is_secret(rows: Any, canary: str) -> None:
    assert canary not in repr(rows.sale(1))


class NoKey:
    """A vault that has no key, or whose disk is full."""

    def __init__(self, full: bool = False) -> None:
        self.full = full

    def seal(self, plain: bytes, aad: bytes, tid: str, batch: int) -> Any:
        if self.full:
            raise StorageFailed("data key: no space left on device") from OSError(errno.ENOSPC, "full")
        raise KeyTrouble("no data key")

    def open(self, sealed: Any, aad: bytes) -> bytes:
        raise KeyTrouble("no data key")


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_secret_that_cannot_be_sealed_ends_the_store(
    kind: str, rows: Any, opened: Any, chain_key: bytes, digest_key: bytes
) -> None:
    store = MemoryStore(chain_key, digest_key, NoKey()) if kind == "memory" else opened(sealer=NoKey())
    for _ in range(2):
        with pytest.raises(StorageFailed, match="sealing card data: no data key"):
            store.write([rows.sale(1)])
    assert store.head().sequence == 0


def test_d32_a_data_key_that_finds_no_room_releases_the_ballast(rows: Any, opened: Any, folder: Path) -> None:
    store = opened(sealer=NoKey(full=True), ballast_bytes=65_536)
    assert (folder / "ballast").stat().st_size == 65_536
    with pytest.raises(StorageFailed, match="no space left"):
        store.write([rows.sale(1)])
    assert not (folder / "ballast").exists() or (folder / "ballast").stat().st_size == 0


@pytest.mark.parametrize("durable", [True, False])
def test_memory_disk_fails_and_the_rows_are_there_or_not(
    rows: Any, chain_key: bytes, digest_key: bytes, sealer: Any, durable: bool
) -> None:
    store = MemoryStore(chain_key, digest_key, sealer)
    store.break_at(2, durable=durable)
    store.write([rows.sale(1)])
    for _ in range(2):
        with pytest.raises(StorageFailed, match="simulated"):
            store.write([rows.sale(2)])
    again = store.crashed()
    assert again.head().sequence == (4 if durable else 2)
    assert again.write([rows.sale(3)]) == (6 if durable else 4)
    with pytest.raises(StorageFailed):
        store.write([rows.sale(4)])


def test_memory_shows_its_rows(rows: Any, chain_key: bytes, digest_key: bytes, sealer: Any, canary: str) -> None:
    store = MemoryStore(chain_key, digest_key, sealer)
    store.write([rows.sale(7)])
    assert [view.payload for view in store.records()] == ['{"n":7}']
    assert [view.mti for view in store.messages()] == ["0200"]
    assert canary not in repr([store.records(), store.messages(), store.__dict__])
