"""The terminals of a NAC acquirer as JSON-ready values, and the way back; state.py keeps the rest.

Holds card numbers in clear: test data only, a file for its owner.
"""

from dataclasses import astuple, fields
from typing import Any

from posd.iso8583.message import Message
from simulators.host.books import BatchState, EntryState
from simulators.host.nac_books import Batch, Difference, Entry, Kind, Settlement, Terminal
from simulators.nac_fields import Record, Totals

_SPECIAL = frozenset({"kind", "state", "fingerprint", "answer", "original"})
_PLAIN = tuple(one.name for one in fields(Entry) if one.name not in _SPECIAL)


def terminal_values(one: Terminal) -> dict[str, object]:
    """One terminal, JSON-ready."""
    return {
        "sign_ins": one.sign_ins,
        "remarks": one.remarks,
        "reversed_unknown": [[*key, times] for key, times in one.reversed_unknown.items()],
        "answers": [[*key, asked, _said(said)] for key, (asked, said) in one.management_answers.items()],
        "batches": [_batch(batch) for batch in one.batches],
    }


def fill(one: Terminal, values: dict[str, Any]) -> None:
    """Put saved values into a fresh terminal. Raises KeyError, TypeError, ValueError or IndexError for others."""
    one.sign_ins = int(values["sign_ins"])
    one.remarks = list(values["remarks"])
    one.reversed_unknown = {(batch, stan): times for batch, stan, times in values["reversed_unknown"]}
    one.management_answers = {
        (mti, code, stan): (asked, _message(said)) for mti, code, stan, asked, said in values["answers"]
    }
    voids, known = one.batch.voids, dict[str, Entry]()
    one.batches = []
    for row in values["batches"]:
        batch = Batch(int(row["number"]), voids, BatchState(row["state"]), certificates=set(row["certificates"]))
        batch.closed_at_ms = row["closed_at_ms"]
        for saved in row["entries"]:
            entry = _as_entry(saved, known)
            batch.entries[entry.stan] = known[entry.rrn] = entry
        batch.settlements = [_as_settlement(saved) for saved in row["settlements"]]
        one.batches.append(batch)
    one.batches[-1]  # a terminal without a batch is no terminal: IndexError


def _batch(batch: Batch) -> dict[str, object]:
    return {
        "number": batch.number,
        "state": batch.state.value,
        "certificates": sorted(batch.certificates),
        "closed_at_ms": batch.closed_at_ms,
        "entries": [_entry(entry) for entry in batch.entries.values()],
        "settlements": [_settlement(settlement) for settlement in batch.settlements],
    }


def _entry(entry: Entry) -> dict[str, object]:
    return {
        **{name: getattr(entry, name) for name in _PLAIN},
        "kind": entry.kind.value,
        "state": entry.state.value,
        "fingerprint": list(entry.fingerprint),
        "answer": _said(entry.answer),
        "original": entry.original.rrn if entry.original else None,
    }


def _as_entry(row: dict[str, Any], known: dict[str, Entry]) -> Entry:
    """An original is named by its reference: it may stand in an earlier batch, and references never repeat."""
    special = {
        "kind": Kind(row["kind"]),
        "state": EntryState(row["state"]),
        "fingerprint": tuple(row["fingerprint"]),
        "answer": _message(row["answer"]),
        "original": None if row["original"] is None else known[row["original"]],
    }
    return Entry(**row | special)


def _settlement(one: Settlement) -> dict[str, object]:
    return {
        "stan": one.stan,
        "at_ms": one.at_ms,
        "asked": astuple(one.asked),
        "ours": astuple(one.ours),
        "code": one.code,
        "uploaded": [[key, astuple(record)] for key, record in one.uploaded.items()],
        "repeated": one.repeated,
        "differences": [[d.kind, d.stan, _recorded(d.ours), _recorded(d.theirs)] for d in one.differences.values()],
        "end_code": one.end_code,
    }


def _as_settlement(row: dict[str, Any]) -> Settlement:
    differences = [
        Difference(kind, stan, _as_record(ours), _as_record(theirs)) for kind, stan, ours, theirs in row["differences"]
    ]
    return Settlement(
        row["stan"],
        row["at_ms"],
        Totals(*row["asked"]),
        Totals(*row["ours"]),
        row["code"],
        {key: Record(*record) for key, record in row["uploaded"]},
        row["repeated"],
        {one.stan: one for one in differences},
        row["end_code"],
    )


def _recorded(record: Record | None) -> object:
    return astuple(record) if record else None


def _as_record(values: list[Any] | None) -> Record | None:
    return Record(*values) if values else None


def _said(message: Message) -> list[object]:
    return [message.mti, {str(number): value for number, value in message.fields.items()}]


def _message(values: list[Any]) -> Message:
    mti, said = values
    return Message(mti, {int(number): value for number, value in said.items()})
