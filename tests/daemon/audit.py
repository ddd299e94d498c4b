"""The auditor: the host's books against the journal, transaction by transaction, from the records' JSON alone.

It knows nothing of posd's engine: it reads what is durable and says in words what does not agree.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from posd.journal.contract import RecordView

Key = tuple[str, int, int]
"""Terminal, the host's batch number, STAN."""

STANDING = frozenset({"approved", "voided", "completed", "adjusted"})


@dataclass
class Ours:
    """One request as the journal tells it."""

    request_id: str
    kind: str
    amount: int
    status: str = "sent"
    codes: list[str] = field(default_factory=list)


def requests(records: Iterable[RecordView]) -> dict[Key, Ours]:
    """Every request that was about to leave, with what became of it."""
    by_id: dict[str, Ours] = {}
    by_key: dict[Key, Ours] = {}
    for row in records:
        said = json.loads(row.payload)
        if said.get("kind") == "script_result":
            continue  # it moves no money, and the host keeps it with its original
        if row.kind in ("authorisation_started", "advice_stored"):
            ours = Ours(said["request_id"], said["kind"], said["amount_minor"])
            key = (row.tid, said["batch_number"], said["stan"])
            assert key not in by_key, f"two requests went out as {key}"
            assert ours.request_id not in by_id, f"{ours.request_id} was sent twice"
            by_id[ours.request_id] = by_key[key] = ours
        elif row.request_id in by_id:
            _follow(by_id[row.request_id], row.kind, said)
    return by_key


def _follow(ours: Ours, kind: str, said: dict[str, Any]) -> None:
    match kind:
        case "approved" | "declined":
            ours.status = kind
        case "advice_acknowledged" | "advice_settled":
            ours.status = "approved"
        case "advice_refused" | "advice_cancelled" | "advice_resolved":
            ours.status = kind.removeprefix("advice_")
        case "not_sent":
            ours.status = "not sent"
        case "outcome_unknown" if ours.status == "sent":
            ours.status = "unknown"
        case "reversal_owed" | "reversal_reopened":
            ours.status = "owed"
        case "reversal_acknowledged":
            ours.status = "reversed"
            ours.codes.append(said["code"])
        case "reversal_resolved":
            ours.status = "resolved"
        case _:
            pass


def differences(books: dict[str, Any], records: Iterable[RecordView]) -> list[str]:
    """What does not agree, one line each; empty: host and journal tell the same story to the cent."""
    ours = requests(records)
    theirs = {
        (terminal["tid"], batch["number"], entry["stan"]): entry
        for terminal in books["terminals"]
        for batch in terminal["batches"]
        for entry in batch["transactions"]
    }
    found = [f"{key}: the host has it, the journal does not" for key in theirs if key not in ours]
    for key, one in ours.items():
        entry = theirs.get(key)
        standing = entry is not None and entry["state"] in STANDING
        where = f"{key} ({one.kind} {one.amount}): {one.status} here, {entry['state'] if entry else 'unknown'} there"
        if one.kind == "balance":
            continue
        if one.status in ("sent", "owed") or (one.status == "unknown"):
            found.append(f"{where}: not finished")
        elif (one.status == "approved") != standing:
            found.append(where)
        elif entry is not None and standing and entry["amount"] != one.amount:
            found.append(f"{where}: {entry['amount']} there")
    return found
