"""Turns rows into columns: gives the sequence, seals the secret, digests the bytes, computes the link.

Both stores use it, so that they store the same. It must never let a plain secret or raw bytes through.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from posd.errors import KeyTrouble, StorageFailed
from posd.journal.chain import Chain, Hmac
from posd.journal.contract import Head, MessageRow, RecordRow, Row, Sealed, Sealer, sealing_place

Columns = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Stamped:
    """Rows ready to be stored, each as its columns and then its link, and the head after them."""

    records: list[Columns]
    messages: list[Columns]
    head: Head


class Stamp:
    """`digest_key`: for the keyed digest of exact bytes; another purpose than the chain key."""

    __slots__ = ("_chain", "_digest", "_sealer")

    def __init__(self, chain: Chain, digest_key: bytes, sealer: Sealer) -> None:
        self._chain, self._digest, self._sealer = chain, Hmac(digest_key).mac, sealer

    def rows(self, groups: Sequence[Sequence[Row]], head: Head) -> Stamped:
        """The columns of all rows, chained from `head`. Raises StorageFailed when a secret cannot be sealed."""
        records: list[Columns] = []
        messages: list[Columns] = []
        sequence, link = head
        for group in groups:
            for row in group:
                sequence += 1
                match row:
                    case RecordRow():
                        columns = self._record(row, sequence)
                        link = self._chain.record(link, columns)
                        records.append((*columns, link))
                    case MessageRow():
                        columns = self._message(row, sequence)
                        link = self._chain.message(link, columns)
                        messages.append((*columns, link))
                    case _:
                        assert_never(row)
        return Stamped(records, messages, Head(sequence, link))

    def _record(self, row: RecordRow, sequence: int) -> Columns:
        return (
            *(sequence, row.tid, row.kind, row.version, row.at_ms, row.payload),
            *(row.request_id, row.stan, row.rrn, row.batch),
            *self._seal(row, sequence),
        )

    def _message(self, row: MessageRow, sequence: int) -> Columns:
        return (
            *(sequence, row.tid, row.at_ms, row.direction, row.peer, row.mti, row.fields, self._digest(row.raw)),
            *(row.request_id, row.stan, row.rrn, row.batch),
            *self._seal(row, sequence),
        )

    def _seal(self, row: Row, sequence: int) -> tuple[str | None, bytes | None, bytes | None]:
        if row.secret is None:
            return None, None, None
        try:
            sealed = self._sealer.seal(row.secret, sealing_place(row.tid, sequence), row.tid, row.key_batch)
        except KeyTrouble as error:
            raise StorageFailed(f"journal: sealing card data: {error}") from None
        return sealed.key_id, sealed.nonce, sealed.ciphertext

    def open(self, tid: str, sequence: int, sealed: Sealed) -> bytes:
        """The plain secret of a stored row. Raises KeyTrouble."""
        return self._sealer.open(sealed, sealing_place(tid, sequence))
