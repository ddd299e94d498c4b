"""Requests that posd answered itself, without the host: shown beside the transactions, from the journal.

No state remembers them, because no money hangs on them; an integrator asks for them all the same. A view has the same
names as that of a transaction (views.py), most of them empty. It reads the journal and nothing else.
"""

import json
from collections.abc import Iterator
from itertools import islice

from posd.core.rules import TxnKind
from posd.core.state import Transaction, TxnStatus
from posd.daemon.shown.batch_rows import ENDS, empty_lane
from posd.daemon.shown.views import Around, View, transaction_view
from posd.journal.contract import MessageView, RecordView
from posd.journal.reader import JournalReader
from posd.values import BatchNumber, Minor, RequestId, Stan, Tid, format_amount

TURNED_AWAY = "turned_away"
"""The status of such a request."""
KIND = "request_refused"

REFUSED_MAX = 500
"""Shown at most, the newest: a terminal behind a dead line may ask for days."""
BATCHES = 2
"""The open and the last closed one, as of the transactions."""


def refused_rows(reader: JournalReader, tid: str, batch: int | None) -> Iterator[RecordView]:
    """The requests of one terminal that were refused, newest first: of one batch number, or of the last BATCHES."""
    since = 0 if batch is not None else _since(reader, tid)
    rows = (row for row in reader.records(tid=tid, batch=batch, kind=KIND, newest_first=True) if row.sequence > since)
    return islice((row for row in rows if row.request_id is not None), REFUSED_MAX)


def _since(reader: JournalReader, tid: str) -> int:
    """The row that ended the batch before the last closed one; 0: there is none."""
    ends = [row.sequence for end in ENDS for row in reader.records(tid=tid, kind=end, limit=BATCHES, newest_first=True)]
    return sorted(ends, reverse=True)[BATCHES - 1] if len(ends) >= BATCHES else 0


def refused_view(reader: JournalReader, row: RecordView, around: Around) -> View:
    """One such request, with what its message says of it."""
    said = json.loads(row.payload)
    fields, kind = _asked(reader, row)
    amount = fields.get("4") or fields.get("amount", "").replace(".", "")  # a till's has two decimals
    minor = int(amount) if amount.isdecimal() else None
    return {
        **_empty(row, fields, around),
        "kind": kind,
        "status": TURNED_AWAY,
        "text": f"answered by posd itself, nothing was sent to the host: {said['because']}",
        "amount": format_amount(minor) if minor is not None else None,
        "amount_minor": minor,
        "card": fields.get("2") or fields.get("card"),
        "reference": fields.get("reference", ""),
        "batch": row.batch,
        "stan": None,
        "terminal_batch": _part(row, 1),
        "terminal_stan": _part(row, 2),
        "why_unknown": f"{said['refusal']}: {said['because']}",
    }


def _empty(row: RecordView, fields: dict[str, str], around: Around) -> View:
    """The view of a transaction of which nothing is known: no money moved."""
    assert row.request_id is not None
    request_id, none = RequestId(row.request_id), Stan(1)
    txn = Transaction(
        request_id=request_id,
        kind=TxnKind.SALE,
        status=TxnStatus.CANCELLED,
        amount_minor=Minor(0),
        stan=none,
        batch=0,
        batch_number=BatchNumber(1),
        terminal_batch=0,
        terminal_stan=none,
        at_ms=row.at_ms,
        fingerprint="",
        entry_mode=fields.get("22", ""),
    )
    return transaction_view(txn, empty_lane(Tid(row.tid)), around)


def _asked(reader: JournalReader, row: RecordView) -> tuple[dict[str, str], str]:
    """The masked fields of the newest question up to the refusal, and what it was; both may be empty."""
    asked: MessageView | None = None
    for message in reader.messages(request_id=row.request_id):
        if message.direction == "in" and (asked is None or message.sequence <= row.sequence + 1):
            asked = message if message.peer != "host" else asked
    if asked is None:
        return {}, ""
    fields: dict[str, str] = json.loads(asked.fields)
    return fields, fields.get("type") or "/".join(filter(None, (asked.mti, fields.get("3", ""))))


def _part(row: RecordView, place: int) -> int | None:
    parts = (row.request_id or "").split("/")
    return int(parts[place]) if len(parts) > place + 1 and parts[place].isdecimal() else None
