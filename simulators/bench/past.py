"""A long past, written quickly: a journal of so many transactions, as posd itself would have written it.

The records are posd's own, folded by posd's own fold and stored by its own store: sealed, digested and chained like
any other row, batches closed, snapshots as the daemon takes them. Only the deciding is left out, and the masked texts
of the messages are the same for every transaction. Beside a running posd this must never be used: it is the one writer.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest

from posd.core import records as r
from posd.core.answers import AnswerFacts, GroupCount, GroupResult, HostTotals, Totals
from posd.core.fold.apply import apply, opened
from posd.core.payload import FOLD_VERSION, dump_record, dump_state, record_name, record_version
from posd.core.rules import TxnKind
from posd.core.state import CloseOutcome, SettlementCause, State
from posd.daemon.snapshots import lag_rows_max
from posd.journal.contract import Direction, MessageRow, RecordRow, Row
from posd.journal.opening import open_store
from posd.journal.sqlite import SqliteStore
from posd.security.cards import CardData, keyed_digest
from posd.security.machine import MachineKey, load_machine_key
from posd.security.vault import DataKeys
from posd.values import BatchNumber, CardRef, Minor, RequestId, Rrn, Stan, Tid, next_batch_number
from simulators.bench.load import AMOUNT_MINOR
from simulators.bench.stage import DOMESTIC_PAN, EXPIRY, MID, TMK, PosdPlace
from simulators.crypto import SIGN_IN_DOUBLE_TRACK, key_block, new_keys
from simulators.fields import mask_pan

SALES_PER_BATCH = 300
OPEN_SALES = 150
"""So many sales of each terminal lie in its open batch, after its newest snapshot."""
COMMIT_ROWS = 2000
MESSAGE_BYTES = 180

_IN = {"2": mask_pan(DOMESTIC_PAN), "3": "000000", "4": "000000000100", "22": "022", "25": "00", "35": "***(37)"}
_OUT = {**_IN, "12": "170016", "13": "1122", "15": "1122", "32": "48020000", "38": "194918", "39": "00", "63": "CUP"}
_REQUEST, _ANSWER = (
    json.dumps({**fields, "42": MID, "44": "62258800   48020000   ", "49": "156"}, separators=(",", ":"))
    for fields in (_IN, _OUT)
)


@dataclass(slots=True)
class Lane:
    """The past of one terminal: its state, and the rows that wait to be committed."""

    state: State
    card: CardRef
    facts: bytes
    at_ms: int
    rows: list[Row]
    snapshot_sequence: int = 0

    def record(self, record: r.Record, **columns: object) -> None:
        """One more fact: folded, and a row of its own."""
        self.state = apply(self.state, record, self.at_ms)
        self.rows.append(record_row(self.state.tid, record, self.at_ms, **columns))

    def message(self, way: Direction, peer: str, mti: str, request_id: RequestId, stan: Stan) -> None:
        fields = _REQUEST if mti == "0200" else _ANSWER
        raw = b"\x02" + stan.to_bytes(3, "big") * (MESSAGE_BYTES // 3)
        rrn = f"{stan:012d}" if mti == "0210" else None
        batch, key_batch = self.state.batch.number, self.state.batch.identity
        pan = DOMESTIC_PAN.encode()
        numbers = (request_id, stan, rrn, batch, pan, key_batch)
        self.rows.append(MessageRow(self.state.tid, self.at_ms, way, peer, mti, fields, raw, *numbers))

    def sale(self) -> None:
        """The seven rows of an approved sale, in the order of the daemon's two commits."""
        state = self.state
        stan, batch = state.stan, state.batch.number
        request_id = RequestId(f"{state.tid}/{batch:06d}/{stan:06d}/0200/000000")
        columns = {"request_id": request_id, "stan": stan, "batch": batch}
        self.message("in", "terminal", "0200", request_id, stan)
        for before in state.unconfirmed:
            self.record(r.AnswerHandedOver(before), **{**columns, "request_id": before})
        started = r.AuthorisationStarted(
            *(request_id, TxnKind.SALE, Minor(AMOUNT_MINOR), stan, batch, batch, stan),
            *(f"{AMOUNT_MINOR:012d}:{self.card.digest}", "022", self.card, None, "000500"),
        )
        self.record(started, **columns, secret=self.facts, key_batch=self.state.batch.identity)
        self.message("out", "host", "0200", request_id, stan)
        self.message("in", "host", "0210", request_id, stan)
        rrn = Rrn(f"{stan:012d}")
        facts = AnswerFacts("00", rrn, "194918", "1122", "170016", "1122", "48020000", "62258800   48020000   ")
        self.record(r.Approved(request_id, facts), **columns, rrn=rrn)
        self.message("out", "terminal", "0210", request_id, stan)

    def close(self) -> None:
        """A settlement that agreed."""
        sales = len(self.state.transactions)
        totals = Totals(GroupCount(sales * AMOUNT_MINOR, sales))
        host = HostTotals(totals, GroupResult.BALANCED, GroupResult.BALANCED)
        self.record(r.SettlementBegun(SettlementCause.SCHEDULE, self.at_ms))
        self.record(r.TotalsAsked(self.state.stan, totals, 1))
        self.record(r.TotalsAnswered(host, ()))
        self.record(r.TrailerSent(self.state.stan, 0, 1))
        self.record(r.BatchClosed(CloseOutcome.AGREED, totals, next_batch_number(self.state.batch.number)))


def record_row(tid: str, record: r.Record, at_ms: int, **columns: object) -> RecordRow:
    """A record as its row; `columns` are those of RecordRow beside the payload's."""
    name = record_name(record)
    return RecordRow(tid, name, record_version(name), at_ms, dump_record(record), **columns)  # type: ignore[arg-type]


def begin(tid: str, key: MachineKey, at_ms: int) -> Lane:
    """A terminal's first two facts: opened, and signed in with keys that its TMK opens."""
    digest_key = key.derive("digest")
    card = CardRef(mask_pan(DOMESTIC_PAN), keyed_digest(digest_key, DOMESTIC_PAN))
    first = r.LaneOpened(Tid(tid), Stan(1), BatchNumber(1))
    facts = CardData(pan=DOMESTIC_PAN, expiry=EXPIRY, entry_mode="022").facts()
    lane = Lane(opened(first, at_ms), card, facts, at_ms, [record_row(tid, first, at_ms)])
    block = key_block(bytes.fromhex(TMK), new_keys(0, tid, 1, SIGN_IN_DOUBLE_TRACK), SIGN_IN_DOUBLE_TRACK)
    lane.record(r.SignInStarted(lane.state.stan, False))
    lane.record(r.SignedIn(Stan(1), block.hex().upper(), None, 0))
    return lane


def write_past(place: PosdPlace, tids: list[str], transactions: int, told: Callable[[int], None]) -> None:
    """A journal of `transactions` in posd's place, which must have none yet. `told`: how many are written."""
    key = load_machine_key(place.machine_key)
    vault = DataKeys(place.folder / "state" / "keys", key)
    (place.folder / "state").mkdir(mode=0o700, exist_ok=True)
    store = open_store(place.journal, key.derive("chain"), key.derive("digest"), vault)
    try:
        shares = [transactions // len(tids) + (place < transactions % len(tids)) for place in range(len(tids))]
        lanes = [begin(tid, key, time.time_ns() // 1_000_000) for tid in tids]
        written = 0
        for day in zip_longest(*map(batches, shares)):  # each terminal makes one batch, then each its next
            for lane, batch in zip(lanes, day, strict=True):
                if batch is not None:
                    _sell(store, lane, batch.sales)
                    written += batch.sales
                    if batch.closed:
                        settle(store, lane)
            _keep_snapshots_near(store, lanes)
            told(written)
        for lane in lanes:
            commit(store, lane)
        _keep_snapshots_near(store, lanes)
    finally:
        store.close()


def settle(store: SqliteStore, lane: Lane) -> None:
    """Close its batch, as posd would."""
    lane.close()
    commit(store, lane)
    snapshot(store, lane)


def snapshot(store: SqliteStore, lane: Lane) -> None:
    """As the daemon takes one."""
    lane.snapshot_sequence = store.head().sequence
    store.save_snapshot(lane.state.tid, lane.snapshot_sequence, FOLD_VERSION, dump_state(lane.state))


def _keep_snapshots_near(store: SqliteStore, lanes: list[Lane]) -> None:
    """As the daemon does every two seconds (D33)."""
    for lane in lanes:
        if store.head().sequence - lane.snapshot_sequence > lag_rows_max(len(lanes)):
            commit(store, lane)
            snapshot(store, lane)


def _sell(store: SqliteStore, lane: Lane, number: int) -> None:
    for _ in range(number):
        lane.sale()
        if len(lane.rows) >= COMMIT_ROWS:
            commit(store, lane)


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch of the past."""

    sales: int
    closed: bool


def batches(count: int) -> list[Batch]:
    """The batches of so many sales: closed ones, whole as far as they go, and the open one at the end."""
    still_open = min(count, OPEN_SALES)
    whole, rest = divmod(count - still_open, SALES_PER_BATCH)
    closed = [SALES_PER_BATCH] * whole + [rest] * (rest > 0)
    return [*(Batch(sales, True) for sales in closed), Batch(still_open, False)]


def commit(store: SqliteStore, lane: Lane) -> None:
    """Write what waits."""
    store.write([lane.rows])
    store.upkeep()
    lane.rows = []
