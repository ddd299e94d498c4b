"""What a store of the journal promises, and the shapes that pass through its door.

The journal is append-only: records (facts that the state is folded from) and messages (what went over a wire),
in one sequence and one keyed chain. A store never changes a row, never guesses after a failed write, and never
keeps what a row's owner gave it in the clear as `secret` or `raw`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, Protocol

from msgspec import Struct

from posd.values import Quiet

Direction = Literal["in", "out"]


class RecordRow(Quiet, frozen=True):
    """A record to be appended.

    `kind`, `version`: name and shape of the payload (D34). `at_ms`: wall time, milliseconds since 1970 UTC (D5).
    `payload`: canonical JSON, safe to show. `secret`: sealed before it is stored, e.g. the card's facts (D29), under a
    key of the terminal's batch with the identity `key_batch` (D7).
    """

    tid: str
    kind: str
    version: int
    at_ms: int
    payload: str
    request_id: str | None = None
    stan: int | None = None
    rrn: str | None = None
    batch: int | None = None
    secret: bytes | None = None
    key_batch: int = 0


class MessageRow(Quiet, frozen=True):
    """A message to be appended.

    `peer`: 'host', 'terminal' or 'till'. `fields`: masked JSON. `raw`: the exact bytes, of which only a keyed digest is
    stored. `secret`: the card number, sealed before it is stored, under a key of the batch `key_batch`.
    """

    tid: str
    at_ms: int
    direction: Direction
    peer: str
    mti: str
    fields: str
    raw: bytes
    request_id: str | None = None
    stan: int | None = None
    rrn: str | None = None
    batch: int | None = None
    secret: bytes | None = None
    key_batch: int = 0


Row = RecordRow | MessageRow


class StoredRecord(Struct, frozen=True):
    """A record as replayed."""

    sequence: int
    tid: str
    kind: str
    version: int
    at_ms: int
    payload: str


@dataclass(frozen=True, slots=True)
class RecordView:
    """A record as shown: everything but the ciphertext; `sealed`: there is one, under the key `key_id`."""

    sequence: int
    tid: str
    kind: str
    version: int
    at_ms: int
    payload: str
    request_id: str | None
    stan: int | None
    rrn: str | None
    batch: int | None
    sealed: bool
    key_id: str | None

    @classmethod
    def of(cls, columns: tuple[Any, ...]) -> "RecordView":
        """`columns` in the order of chain.RECORD_COLUMNS."""
        return cls(*(*columns[:10], columns[12] is not None, columns[10]))

    def as_dict(self) -> dict[str, Any]:
        """For JSON lines; `payload` stays canonical JSON text."""
        return {"row": "record", **asdict(self)}


@dataclass(frozen=True, slots=True)
class MessageView:
    """A message as shown: masked fields, the keyed digest of its exact bytes in hexadecimal."""

    sequence: int
    tid: str
    at_ms: int
    direction: Direction
    peer: str
    mti: str
    fields: str
    digest: str
    request_id: str | None
    stan: int | None
    rrn: str | None
    batch: int | None
    sealed: bool

    @classmethod
    def of(cls, columns: tuple[Any, ...]) -> "MessageView":
        """`columns` in the order of chain.MESSAGE_COLUMNS."""
        return cls(*(*columns[:7], bytes(columns[7]).hex(), *columns[8:12], columns[14] is not None))

    def as_dict(self) -> dict[str, Any]:
        """For JSON lines; `fields` stays masked JSON text."""
        return {"row": "message", **asdict(self)}


class Head(NamedTuple):
    """A place in the chain: the sequence of a row and the chain value that it ends with (32 bytes)."""

    sequence: int
    link: bytes


class Replay(NamedTuple):
    """What a lane folds at start: the newest usable snapshot (None: none) and every record after it."""

    snapshot: str | None
    snapshot_sequence: int
    records: Iterator[StoredRecord]


class Snapshot(NamedTuple):
    """A lane's state after every row up to `sequence`, which may be another lane's row; `state` is JSON (D33)."""

    tid: str
    sequence: int
    fold_version: int
    state: str


@dataclass(frozen=True, slots=True)
class Sealed:
    """Ciphertext and what is needed to open it again; safe to store."""

    key_id: str
    nonce: bytes
    ciphertext: bytes


class SealedText(Protocol):
    """The shape of what any sealer gives back: the vault has a class of its own."""

    @property
    def key_id(self) -> str: ...
    @property
    def nonce(self) -> bytes: ...
    @property
    def ciphertext(self) -> bytes: ...


class Sealer(Protocol):
    """Encrypts what a row carries as `secret`. `aad` is `TID|sequence`: a sealed text fits one row only (D29)."""

    def seal(self, plain: bytes, aad: bytes, tid: str, batch: int) -> SealedText:
        """Under a key of this terminal's batch. Raises KeyTrouble or StorageFailed."""

    def open(self, sealed: Any, aad: bytes) -> bytes:
        """`sealed` has the three attributes of SealedText. Raises KeyTrouble."""


def sealing_place(tid: str, sequence: int) -> bytes:
    """The associated data of a sealed text: it can be opened in its own row only."""
    return f"{tid}|{sequence}".encode()


class Store(Protocol):
    """One writer's journal. Synchronous. `write`, `save_snapshot`, `upkeep` and `sync_anchor` belong to one thread."""

    def write(self, groups: Sequence[Sequence[Row]]) -> int:
        """Append all groups in one commit; the last sequence, when durable.

        Sequences are given in order and without gaps. Raises StorageFailed: whether the rows are durable is then
        unknown, and every later write raises too (P3).
        """

    def replay(self, tid: str, fold_version: int) -> Replay:
        """The newest snapshot of this fold version that is authentic, and the records after it, verified.

        Raises StorageFailed when the rows do not fit the chain.
        """

    def tids(self) -> list[str]:
        """Every terminal that has a record, sorted."""

    def save_snapshot(self, tid: str, sequence: int, fold_version: int, state: str) -> None:
        """Remember the state after the row `sequence`; disposable, replaces the one before (D33)."""

    def save_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        """The same for several terminals, in one commit."""

    def secret(self, request_id: str) -> bytes | None:
        """The newest sealed secret among the records of this request, opened. Raises KeyTrouble, StorageFailed."""

    def highest_request(self, tid: str) -> str:
        """The greatest id among all requests `TID/…` that any record ever named, in the order of text; "": none."""

    def head(self) -> Head:
        """The last committed row; sequence 0 when there is none. From any thread."""

    def upkeep(self) -> None:
        """Housekeeping that is due (SQLite checkpoint); the writer calls it after the answers were given."""

    def sync_anchor(self) -> None:
        """Make the anchor durable: at batch close and every 5 s (D31)."""

    def close(self) -> None:
        """Release everything. Safe to call twice."""
