"""Folding the chain over stored rows: finds every lost, changed, added or moved one.

It reads what is stored and computes; it parses no payload, so that a million rows take seconds. It must never write,
and never accept a row because its neighbours look well.
"""

from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Any

import apsw

from posd.journal.chain import MESSAGE_COLUMNS, RECORD_COLUMNS, WRONG_TYPE, Chain
from posd.journal.connect import storage_failed
from posd.journal.contract import Head
from posd.journal.finding import Finding

BLOCK_ROWS = 2000
"""Rows of one short read (D30)."""

CHANGED = "does not fit the chain: changed, moved or added"

_RECORDS = f"SELECT {', '.join(RECORD_COLUMNS)}, link FROM record WHERE sequence BETWEEN ? AND ?"
_MESSAGES = f"SELECT {', '.join(MESSAGE_COLUMNS)}, link FROM message WHERE sequence BETWEEN ? AND ?"

_SEQUENCE = itemgetter(0)

_Slot = tuple[bool, tuple[Any, ...]]


class Fold:
    """Walks the chain from `start` (a row whose link is trusted). `rows`, `link`: read so far, the last link."""

    def __init__(
        self,
        connection: apsw.Connection,
        chain: Chain,
        start: Head,
        on_rows: Callable[[int], None] = lambda rows: None,
    ) -> None:
        self._on_rows = on_rows
        self._connection, self._chain = connection, chain
        self._sequence, self.link, self.rows = start.sequence, start.link, 0
        self._stored: object = start.link

    def findings(self, last: int) -> Iterator[Finding]:
        """What is wrong up to and with row `last`."""
        while self._sequence < last:
            first, self._sequence = self._sequence + 1, min(self._sequence + BLOCK_ROWS, last)
            yield from self._block(first, self._sequence)
            self._on_rows(self.rows)

    def _block(self, first: int, last: int) -> Iterator[Finding]:
        try:
            records = self._connection.execute(_RECORDS, (first, last)).fetchall()
            messages = self._connection.execute(_MESSAGES, (first, last)).fetchall()
        except (apsw.Error, UnicodeDecodeError) as error:
            if first == last:
                self._stored, self.link = None, b""
                yield Finding(first, f"cannot be read: {storage_failed('reading', error)}")
                return
            middle = (first + last) // 2
            yield from self._block(first, middle)
            yield from self._block(middle + 1, last)
            return
        if not self._fits_whole(first, last, records, messages):
            yield from self._walk(first, last, records, messages)

    def _fits_whole(self, first: int, last: int, records: list[Any], messages: list[Any]) -> bool:
        """Whether the block is without any fault, which is quicker to see than which. If not, nothing has changed."""
        if self._stored != self.link or len(records) + len(messages) != last - first + 1:
            return False
        columns_of_a_record = len(RECORD_COLUMNS)
        link, of_record, of_message = self.link, self._chain.record, self._chain.message
        rows = sorted(records + messages, key=_SEQUENCE)
        try:
            for sequence, row in enumerate(rows, first):
                columns = row[:-1]
                link = (of_record if len(columns) == columns_of_a_record else of_message)(link, columns)
                if link != row[-1] or row[0] != sequence:
                    return False
        except WRONG_TYPE:
            return False
        self._stored = self.link = link
        self.rows += len(rows)
        return True

    def _walk(self, first: int, last: int, records: list[Any], messages: list[Any]) -> Iterator[Finding]:
        slots: list[_Slot | None] = [None] * (last - first + 1)
        for is_record, rows in ((True, records), (False, messages)):
            for row in rows:
                place = row[0] - first
                if not 0 <= place < len(slots) or slots[place] is not None:
                    yield Finding(row[0], "found twice or out of its place")
                else:
                    slots[place] = (is_record, row)
        for sequence, slot in enumerate(slots, first):
            if slot is None:
                self._stored, self.link = None, b""
                yield Finding(sequence, "missing")
                continue
            after_gap = self._stored is None
            if not self._fits(*slot):
                yield Finding(sequence, "cannot be judged: the row before is lost" if after_gap else CHANGED)

    def _fits(self, is_record: bool, row: tuple[Any, ...]) -> bool:
        """Whether the row's link follows from the row before, be it the computed or the stored link of that one.

        The second is tried so that one changed row gives one finding, not one for each row after it.
        """
        self.rows += 1
        columns, stored = row[:-1], row[-1]
        before = self._stored
        compute = self._chain.record if is_record else self._chain.message
        try:
            link = compute(self.link, columns)
            if link != stored and isinstance(before, bytes) and before != self.link:
                link = compute(before, columns)
        except WRONG_TYPE:
            link = b""
        self._stored = stored
        if link == stored:
            self.link = link
            return True
        # after a gap the row cannot be judged by what came before: go on from what it says, having told the gap
        unknown_before = before is None
        self.link = stored if unknown_before and isinstance(stored, bytes) else link
        return False
