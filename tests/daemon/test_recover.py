"""State from the journal: a snapshot that lies, records that contradict each other, records of a newer posd."""

from typing import Any

import pytest
from msgspec.structs import replace

from posd.core import records as r
from posd.core.answers import AnswerFacts
from posd.core.fold.apply import opened
from posd.core.payload import FOLD_VERSION, dump_record, dump_state, record_name, record_version
from posd.core.rules import Rules, TxnKind, Why
from posd.core.state import TxnStatus
from posd.daemon.recover import known, owes, recover, sign_out
from posd.errors import StorageFailed
from posd.journal.contract import RecordRow
from posd.journal.memory import MemoryStore
from posd.profiles.unionpay.data import KINDS
from posd.values import BatchNumber, CardRef, Minor, RequestId, Stan, Tid

TID = Tid("10000001")
SALE = RequestId("10000001/000001/000001/0200/000000")
RULES = Rules(kinds=KINDS, due_times=(), zone="Asia/Shanghai")
OPENED = r.LaneOpened(TID, Stan(1), BatchNumber(1))
STARTED = r.AuthorisationStarted(
    SALE, TxnKind.SALE, Minor(100), Stan(1), BatchNumber(1), 1, Stan(1), "100:x", "022", CardRef("6***1", "d"), None
)
OWED = r.ReversalOwed(SALE, Why.TIMEOUT, "98")
UNKNOWN = r.OutcomeUnknown(SALE, Why.TIMEOUT)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(b"c" * 32, b"d" * 32, None)  # type: ignore[arg-type]


def put(store: MemoryStore, *records: Any, version: int | None = None, payload: str | None = None) -> int:
    rows = [
        RecordRow(
            TID,
            record_name(record),
            version or record_version(record_name(record)),
            1_000,
            payload or dump_record(record),
            request_id=getattr(record, "request_id", None),
        )
        for record in records
    ]
    return store.write([rows])


def test_a_new_terminal_gets_its_first_record_once(store: MemoryStore) -> None:
    assert known(store, TID) is None
    first = recover(store, TID, 5)
    assert recover(store, TID, 99) == first
    assert [row.kind for row in store.records()] == ["lane_opened"]


def test_records_after_a_snapshot_are_folded_onto_it(store: MemoryStore) -> None:
    put(store, OPENED, STARTED)
    half = recover(store, TID, 0).state
    store.save_snapshot(TID, 2, FOLD_VERSION, dump_state(half))
    put(store, UNKNOWN, OWED)
    whole = recover(store, TID, 0)
    assert whole.fenced == ""
    assert whole.state.transactions[SALE].status is TxnStatus.UNKNOWN
    assert whole.state == recover(without_snapshot(store), TID, 0).state


def without_snapshot(store: MemoryStore) -> MemoryStore:
    other = store.crashed()
    other._snapshots.clear()
    return other


@pytest.mark.parametrize("text", ["", "{", "[]", '{"tid":"10000001"}', "\x00", "null"], ids=repr)
def test_a_snapshot_that_cannot_be_read_is_left_alone(store: MemoryStore, text: str) -> None:
    put(store, OPENED, STARTED)
    truth = recover(store, TID, 0)
    store.save_snapshot(TID, 2, FOLD_VERSION, text)
    assert recover(store, TID, 0) == truth


def test_d33_a_snapshot_that_its_records_contradict_is_left_alone(store: MemoryStore) -> None:
    put(store, OPENED, STARTED)
    store.save_snapshot(TID, 2, FOLD_VERSION, dump_state(opened(OPENED, 1_000)))
    put(store, UNKNOWN, OWED, r.ReversalAttempted(SALE, 1, "98"))
    recovered = recover(store, TID, 0)
    assert recovered.fenced == ""
    assert recovered.state.reversals[SALE].attempts == 1


def test_d4_records_that_contradict_each_other_fence_the_lane(store: MemoryStore) -> None:
    put(store, OPENED, STARTED, r.ReversalAcknowledged(SALE, "00"), UNKNOWN)
    recovered = recover(store, TID, 0)
    assert "record 3 (reversal_acknowledged)" in recovered.fenced
    assert recovered.state.transactions[SALE].status is TxnStatus.SENT


def test_a_journal_without_its_first_record_is_no_journal(store: MemoryStore) -> None:
    put(store, STARTED)
    with pytest.raises(StorageFailed, match="does not begin"):
        recover(store, TID, 0)


@pytest.mark.parametrize(
    ("how", "says"), [({"version": 99}, "newer posd"), ({"payload": '{"x":1}'}, "does not have its shape")]
)
def test_d34_a_record_that_this_posd_does_not_know_ends_the_start(
    store: MemoryStore, how: dict[str, Any], says: str
) -> None:
    put(store, OPENED)
    put(store, STARTED, **how)
    with pytest.raises(StorageFailed, match=says):
        recover(store, TID, 0)


def test_signing_out_is_durable(store: MemoryStore) -> None:
    put(store, OPENED, r.SignInStarted(Stan(1), False), r.SignedIn(Stan(1), "AB" * 40, BatchNumber(3), 0))
    before = recover(store, TID, 0).state
    assert before.session.signed_in
    after = sign_out(store, before, "a test", 7)
    assert not after.session.signed_in
    assert recover(store, TID, 0).state == after
    assert after.batch == before.batch


def test_what_a_terminal_owes(store: MemoryStore) -> None:
    put(store, OPENED)
    assert owes(recover(store, TID, 0).state, RULES) == ""
    put(store, STARTED, UNKNOWN, OWED)
    state = recover(store, TID, 0).state
    assert "1 reversal" in owes(state, RULES)
    put(store, r.ReversalAttempted(SALE, 1, "98"), r.ReversalAcknowledged(SALE, "00"))
    assert owes(recover(store, TID, 0).state, RULES) == ""
    sent = replace(opened(OPENED, 0), exchange=None)
    assert owes(sent, RULES) == ""


@pytest.mark.parametrize(("chip", "owed"), [(True, "its batch is open with 1 chip record(s) to upload"), (False, "")])
def test_d35_what_a_chip_held_is_told_to_the_host_though_it_is_no_money(
    store: MemoryStore, chip: bool, owed: str
) -> None:
    hold = replace(STARTED, kind=TxnKind.PREAUTH, chip=chip)
    put(store, OPENED, hold, r.Approved(SALE, AnswerFacts("00")))
    assert owes(recover(store, TID, 0).state, RULES) == owed
