"""What a simulated host keeps for its own next life, as JSON-ready values, and the way back (`--state FILE`).

Everything that decides an answer: ledger, batches, settlements, keys, remembered answers, balances, and what the
fault rules have counted. Unlike the books it holds card numbers and keys: test data only, a file for its owner.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from posd.errors import ConfigError
from posd.iso8583.message import Message
from simulators.crypto import WorkingKeys
from simulators.fields import Totals, Unreadable, UploadRecord, mask_pan, parse_upload
from simulators.host import nac_state
from simulators.host.books import Batch, BatchState, ChipRecord, Entry, EntryState, Settlement, Terminal
from simulators.host.dialects import AnyAcquirer
from simulators.host.differences import Difference
from simulators.host.faults import Faults
from simulators.host.kinds import Kind
from simulators.host.nac_acquirer import NacAcquirer

VERSION = 2

LATER = (
    *("times_reversed", "times_asked", "moved_minor", "purse_minor"),
    *("approval", "chip", "script", "script_result"),
)
"""Fields of an entry that have a default."""

Values = Mapping[str, Any]


class StateUnusable(ConfigError):
    """A state that is no state, or not one of this configuration. One line that says what to do."""


Texts = dict[int, tuple[tuple[object, ...], str]]
"""Ledger entries as JSON text by identity, with what may change in them: a state is written at every message."""


def saved(acquirer: AnyAcquirer, faults: Faults, texts: Texts | None = None) -> dict[str, object]:
    """Everything, JSON-ready. Holds card numbers and keys in clear. `texts`: kept by the caller from call to call."""
    books = acquirer.books
    return {
        "posd_host_state": VERSION,
        "profile": acquirer.settings.profile,
        "sequence": books.sequence,
        "cards": {pan: [card.balance_minor, card.purse_minor] for pan, card in books.cards.items()},
        "terminals": _terminals(acquirer, {} if texts is None else texts),
        "faults": {"rules": _digest(faults), "seen": faults.seen, "used": faults.used},
    }


def restore(document: object, acquirer: AnyAcquirer, faults: Faults) -> None:
    """Put a saved state into a fresh acquirer and its faults.

    Terminals and cards that the configuration has and the state has not are new ones. Counts of fault rules are
    taken over only when the rules are the same. Raises StateUnusable; then nothing of either may be used.
    """
    if not isinstance(document, dict) or document.get("posd_host_state") != VERSION:
        raise StateUnusable("not a saved state of this simulator; delete it to begin with empty books")
    if document.get("profile", "unionpay") != acquirer.settings.profile:
        raise StateUnusable("a state of another profile; delete it to begin with empty books")
    try:
        _known(document, acquirer)
        _restore(document, acquirer, faults)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, Unreadable):
        # from None: the cause could show a card number
        raise StateUnusable("a damaged state; delete it to begin with empty books") from None


def _terminals(acquirer: AnyAcquirer, texts: Texts) -> dict[str, object]:
    if isinstance(acquirer, NacAcquirer):
        return {tid: nac_state.terminal_values(one) for tid, one in acquirer.books.terminals.items()}
    return {tid: _terminal(one, texts) for tid, one in acquirer.books.terminals.items()}


def _known(document: Values, acquirer: AnyAcquirer) -> None:
    books = acquirer.books
    gone = [f"terminal {tid}" for tid in document["terminals"] if tid not in books.terminals]
    gone += [f"card {mask_pan(pan)}" for pan in document["cards"] if pan not in books.cards]
    if gone:
        why = f"holds {gone[0]}, which the configuration has not"
        raise StateUnusable(f"{why}; put it back, or delete the state to begin with empty books")


def _restore(document: Values, acquirer: AnyAcquirer, faults: Faults) -> None:
    books = acquirer.books
    books.sequence = int(document["sequence"])
    for pan, (balance, purse) in document["cards"].items():
        books.cards[pan].balance_minor, books.cards[pan].purse_minor = int(balance), int(purse)
    for tid, values in document["terminals"].items():
        if isinstance(acquirer, NacAcquirer):
            nac_state.fill(acquirer.books.terminals[tid], values)
        else:
            _fill(acquirer.books.terminals[tid], values)
    counted = document["faults"]
    if counted["rules"] == _digest(faults):
        faults.seen, faults.used = list(counted["seen"]), list(counted["used"])


def _terminal(one: Terminal, texts: Texts) -> dict[str, object]:
    keys = one.keys
    return {
        "sign_ins": one.sign_ins,
        "keys": None if keys is None else [keys.pik.hex(), keys.mak.hex(), keys.tdk.hex() if keys.tdk else None],
        "remarks": one.remarks,
        "conformance": one.conformance,
        "status": one.status,
        "reversed_unknown": [[*key, times] for key, times in one.reversed_unknown.items()],
        "answers": [[*key, asked, _said(said)] for key, (asked, said) in one.management_answers.items()],
        "batches": [_batch(batch, texts) for batch in one.batches],
    }


def _fill(one: Terminal, values: Values) -> None:
    one.sign_ins = int(values["sign_ins"])
    keys = values["keys"] and [bytes.fromhex(text) if text else None for text in values["keys"]]
    one.keys = WorkingKeys(*keys) if keys else None
    one.remarks, one.conformance = list(values["remarks"]), list(values["conformance"])
    one.status = dict(values["status"])
    one.reversed_unknown = {(batch, stan): times for batch, stan, times in values["reversed_unknown"]}
    one.management_answers = {
        (mti, batch, stan, code): (asked, _message(said)) for mti, batch, stan, code, asked, said in values["answers"]
    }
    one.batches = []
    for batch in values["batches"]:
        one.batches.append(_as_batch(batch, one))
    one.batches[-1]  # a terminal without a batch is no terminal: IndexError


def _batch(batch: Batch, texts: Texts) -> dict[str, object]:
    return {
        "number": batch.number,
        "state": batch.state.value,
        "closed_at_ms": batch.closed_at_ms,
        "entries": [_entry_text(entry, texts) for entry in batch.entries.values()],
        "settlements": [_settlement(settlement) for settlement in batch.settlements],
    }


def _as_batch(values: Values, terminal: Terminal) -> Batch:
    batch = Batch(int(values["number"]), BatchState(values["state"]), closed_at_ms=values["closed_at_ms"])
    earlier = {(one.batch, one.stan): one for one in terminal.entries()}
    for row in map(json.loads, values["entries"]):
        at = row.pop("original")
        entry = Entry(
            **row
            | {
                "kind": Kind(row["kind"]),
                "state": EntryState(row["state"]),
                "fingerprint": tuple(row["fingerprint"]),
                "answer": _message(row["answer"]),
                "original": None if at is None else _original(batch, earlier, at[0], at[1]),
            }
        )
        batch.entries[entry.stan] = entry
    batch.settlements = [_as_settlement(row) for row in values["settlements"]]
    return batch


def _original(batch: Batch, earlier: Mapping[tuple[int, int], Entry], number: int, stan: int) -> Entry:
    """An original of this batch, or the hold of an earlier one."""
    return batch.entries[stan] if number == batch.number and stan in batch.entries else earlier[number, stan]


def _entry_text(entry: Entry, texts: Texts) -> str:
    changing = (entry.state, entry.times_reversed, entry.times_asked, entry.script, entry.script_result)
    known = texts.get(id(entry))
    if known is None or known[0] != changing:
        known = texts[id(entry)] = (changing, json.dumps(_entry(entry)))
    return known[1]


def _entry(entry: Entry) -> dict[str, object]:
    plain = ("batch", "stan", "mti", "pan", "foreign", "requested_minor", "amount_minor", "rrn", "code", "at_ms")
    return {
        **{name: getattr(entry, name) for name in (*plain, *LATER)},
        "kind": entry.kind.value,
        "state": entry.state.value,
        "fingerprint": list(entry.fingerprint),
        "answer": _said(entry.answer),
        "original": [entry.original.batch, entry.original.stan] if entry.original else None,
    }


def _settlement(one: Settlement) -> dict[str, object]:
    return {
        **{name: getattr(one, name) for name in ("stan", "at_ms", "matched", "end_code", "end_count")},
        **{name: getattr(one, name) for name in ("mismatched", "extra", "missing", "chip_missing")},
        "groups": {name: [asked.format(), ours.format(), result] for name, (asked, ours, result) in one.groups.items()},
        "chip": [[record.code, record.stan, record.amount_minor, record.odd] for record in one.chip.values()],
        "uploaded": [record.format() for record in one.uploaded.values()],
        "differences": [
            [*key, found.kind, found.stan, _recorded(found.ours), _recorded(found.theirs), found.code]
            for key, found in one.differences.items()
        ],
    }


def _as_settlement(values: Values) -> Settlement:
    plain = ("stan", "at_ms", "matched", "end_code", "end_count", "mismatched", "extra", "missing", "chip_missing")
    groups = {name: (Totals.parse(a), Totals.parse(b), result) for name, (a, b, result) in values["groups"].items()}
    records = [_read_record(text) for text in values["uploaded"]]
    return Settlement(
        groups=groups,
        chip={row[1]: ChipRecord(*row) for row in values["chip"]},
        uploaded={(record.stan, record.card_class): record for record in records},
        differences={
            (first, second): Difference(kind, stan, _as_record(ours), _as_record(theirs), code)
            for first, second, kind, stan, ours, theirs, code in values["differences"]
        },
        **{name: values[name] for name in plain},
    )


def _recorded(record: UploadRecord | None) -> str | None:
    return record.format() if record else None


def _as_record(text: str | None) -> UploadRecord | None:
    return _read_record(text) if text else None


def _read_record(text: str) -> UploadRecord:
    return parse_upload(f"01{text}")[0]


def _said(message: Message) -> list[object]:
    return [message.mti, {str(number): value for number, value in message.fields.items()}]


def _message(values: list[Any]) -> Message:
    mti, fields = values
    return Message(mti, {int(number): value for number, value in fields.items()})


def _digest(faults: Faults) -> str:
    return hashlib.sha256(repr(faults.rules).encode()).hexdigest()
