"""GET /v1/events: the journal's records as server-sent events, resumable: an event's id is its journal sequence.

Only what a till may know is told: names, numbers and outcomes of transactions, reversals and settlements; no keys, no
digests, and never a card number (the journal holds none in the clear).
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

from posd.core.schedule import local
from posd.daemon.till.ids import till_id
from posd.errors import PosdError
from posd.journal.contract import RecordView
from posd.journal.reader import JournalReader
from posd.values import format_amount

POLL_S = 0.1
"""How often a stream looks whether the journal has grown: an integer in memory."""
HEARTBEAT_S = 15.0
"""A comment line at least so often, so that both ends notice a dead line."""
PAGE_ROWS = 100
RETRY_MS = 2_000
"""After so long a client comes back."""

KINDS = frozenset(
    {
        "authorisation_started",
        "approved",
        "declined",
        "outcome_unknown",
        "not_sent",
        "request_refused",
        "answer_handed_over",
    }
    | {"reversal_owed", "reversal_attempted", "reversal_acknowledged", "reversal_stuck", "reversal_conflict"}
    | {"reversal_reopened", "reversal_resolved", "late_answer"}
    | {"refund_in_doubt", "refund_repeated", "refund_resolved"}
    | {"advice_stored", "advice_acknowledged", "advice_refused", "advice_settled", "advice_stuck", "advice_cancelled"}
    | {"advice_not_booked", "advice_resolved", "amount_replaced"}
    | {"settlement_wanted", "settlement_postponed", "settlement_deferred", "settlement_held", "settlement_approved"}
    | {"settlement_begun", "settlement_unconfirmed", "settlement_decided", "batch_skipped", "batch_closed"}
    | {"signed_in", "sign_in_failed", "signed_out"}
)
"""What is told."""

FACTS = (
    "kind",
    "why",
    "code",
    "refusal",
    "because",
    "reference",
    "outcome",
    "cause",
    "happened",
    "attempt",
)
"""What is told of each, where it has it; beside the amount and the host's answer code."""


async def stream(journal: Path, after: int, head: Callable[[], int], zone: str) -> AsyncGenerator[bytes, None]:
    """What was written after the row `after`, and what is written from now on, for ever; empty parts in between."""
    yield f"retry: {RETRY_MS}\n: posd, from {after}\n\n".encode()
    with JournalReader(journal) as reader:
        seen, quiet_s = min(after, head()), 0.0  # a client may know more than a journal that was restored since
        while True:
            newest = head()
            while seen < newest:
                rows = list(reader.records(after=seen, limit=PAGE_ROWS))
                told = b"".join(event(row, zone) for row in rows if row.kind in KINDS)
                seen = rows[-1].sequence if len(rows) == PAGE_ROWS else max(newest, rows[-1].sequence if rows else 0)
                if told:
                    quiet_s = 0.0
                    yield told
                await asyncio.sleep(0)  # others are served between the pages
            yield b""
            await asyncio.sleep(POLL_S)
            quiet_s += POLL_S
            if quiet_s >= HEARTBEAT_S:
                quiet_s = 0.0
                yield b": still here\n\n"


def event(row: RecordView, zone: str) -> bytes:
    """One record as one event."""
    payload: dict[str, Any] = json.loads(row.payload)
    said: dict[str, Any] = {
        "sequence": row.sequence,
        "at": local(row.at_ms, zone).isoformat(timespec="milliseconds"),
        "tid": row.tid,
        "event": row.kind,
        "id": till_id(row.tid, row.request_id) if row.request_id is not None else None,
        "request_id": row.request_id,
        "stan": row.stan,
        "rrn": row.rrn,
        "batch": row.batch,
    }
    if isinstance(minor := payload.get("amount_minor"), int):
        said["amount"] = format_amount(minor)
    facts = payload.get("facts")
    if isinstance(facts, dict):
        said["code"] = facts.get("code")
    said |= {name: payload[name] for name in FACTS if name in payload}
    data = json.dumps({name: value for name, value in said.items() if value is not None}, ensure_ascii=True)
    return f"id: {row.sequence}\nevent: {row.kind}\ndata: {data}\n\n".encode()


class BadPlace(PosdError):
    """A sequence that the journal does not have."""


def place(text: str, head: int) -> int:
    """The row after which to begin. Raises BadPlace."""
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise BadPlace("a place is the id of an event: a whole number; leave it out to begin with what comes next")
    if int(text) > head:
        raise BadPlace(f"the journal ends at {head}; this id is of another journal: leave it out")
    return int(text)
