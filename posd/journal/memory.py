"""A journal in memory, for the simulated world: the same rows, chain, sealing and failures, without a disk.

It can crash (only what was committed survives) and its disk can fail at a chosen commit, leaving that commit
durable or not, because a real failed commit may be either (P3). It must never be used for real money.
"""

from collections.abc import Iterator, Sequence
from typing import Self

from posd.errors import StorageFailed
from posd.journal.chain import JOURNAL_ID_BYTES, Chain
from posd.journal.contract import (
    Head,
    MessageView,
    RecordView,
    Replay,
    Row,
    Sealed,
    Sealer,
    Snapshot,
    StoredRecord,
)
from posd.journal.stamp import Columns, Stamp


class MemoryStore:
    """Implements Store. `commits` counts the commits so far."""

    def __init__(self, chain_key: bytes, digest_key: bytes, sealer: Sealer) -> None:
        self._keys = (chain_key, digest_key, sealer)
        self._stamp = Stamp(Chain(chain_key), digest_key, sealer)
        self._head = Head(0, Chain(chain_key).genesis(bytes(JOURNAL_ID_BYTES)))
        self._records: list[Columns] = []
        self._messages: list[Columns] = []
        self._snapshots: dict[str, tuple[int, int, str]] = {}
        self._broken: str | None = None
        self._break_at: tuple[int, bool] | None = None
        self.commits = 0

    def break_at(self, commit: int, *, durable: bool) -> None:
        """The disk fails at commit number `commit` (the first is 1); `durable`: its rows survive all the same."""
        self._break_at = (commit, durable)

    def crashed(self) -> Self:
        """The store that a restart finds: what was committed, and a working disk."""
        survivor = self.copied()
        self._broken = "this store crashed"
        return survivor

    def copied(self) -> Self:
        """What a backup has: everything that is committed by now."""
        copy = type(self)(*self._keys)
        copy._head, copy._snapshots = self._head, dict(self._snapshots)
        copy._records, copy._messages = list(self._records), list(self._messages)
        return copy

    def write(self, groups: Sequence[Sequence[Row]]) -> int:
        self._refuse_if_broken()
        if not any(groups):
            return self._head.sequence
        try:
            stamped = self._stamp.rows(groups, self._head)
        except StorageFailed as failure:
            self._broken = str(failure).removeprefix("journal: ")
            raise
        self.commits += 1
        fails = self._break_at is not None and self.commits == self._break_at[0]
        if not fails or (self._break_at is not None and self._break_at[1]):
            self._records += stamped.records
            self._messages += stamped.messages
            self._head = stamped.head
        if fails:
            self._broken = "commit: simulated I/O error"
            self._refuse_if_broken()
        return stamped.head.sequence

    def _refuse_if_broken(self) -> None:
        if self._broken is not None:
            raise StorageFailed(f"journal: {self._broken}")

    def replay(self, tid: str, fold_version: int) -> Replay:
        sequence, version, state = self._snapshots.get(tid, (0, fold_version, None))
        if version != fold_version:
            sequence, state = 0, None
        return Replay(state, sequence, self._after(tid, sequence))

    def _after(self, tid: str, sequence: int) -> Iterator[StoredRecord]:
        return (StoredRecord(*row[:6]) for row in self._records if row[0] > sequence and row[1] == tid)

    def tids(self) -> list[str]:
        return sorted({row[1] for row in self._records})

    def save_snapshot(self, tid: str, sequence: int, fold_version: int, state: str) -> None:
        self.save_snapshots([Snapshot(tid, sequence, fold_version, state)])

    def save_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        self._refuse_if_broken()
        for tid, sequence, fold_version, state in snapshots:
            self._snapshots[tid] = (sequence, fold_version, state)

    def secret(self, request_id: str) -> bytes | None:
        for row in reversed(self._records):
            if row[6] == request_id and row[12] is not None:
                return self._stamp.open(row[1], row[0], Sealed(*row[10:13]))
        return None

    def highest_request(self, tid: str) -> str:
        return max((row[6] for row in self._records if row[6] and row[6].startswith(f"{tid}/")), default="")

    def head(self) -> Head:
        return self._head

    def records(self) -> list[RecordView]:
        """Every committed record, in order: what the world's oracle reads."""
        return [RecordView.of(row) for row in self._records]

    def messages(self) -> list[MessageView]:
        """Every committed message, in order."""
        return [MessageView.of(row) for row in self._messages]

    def upkeep(self) -> None:
        self._refuse_if_broken()

    def sync_anchor(self) -> None:
        self._refuse_if_broken()

    def close(self) -> None:
        """Nothing to release."""
