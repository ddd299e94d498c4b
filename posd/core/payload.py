"""Records and states as canonical JSON, and back (D34).

The name of a record in the journal is written here once and never changes. A record whose shape changes gets a
higher version and an upcast from the older one; a version that is not known is refused, never guessed.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast, get_args

import msgspec

from posd.core.records import Record
from posd.core.state import State
from posd.core.station import StationRecord
from posd.errors import StorageFailed

FOLD_VERSION = 30
"""Goes up whenever `fold.apply` or the shape of the state changes: older snapshots are then not used (D33)."""

VERSIONS: dict[str, int] = {
    "authorisation_started": 5,
    "approved": 3,
    "declined": 3,
    "refund_resolved": 3,
    "reversal_owed": 2,
    "reversal_stuck": 2,
    "advice_stored": 3,
    "advice_acknowledged": 2,
    "settlement_wanted": 2,
    "settlement_approved": 2,
    "settlement_decided": 2,
    "reversal_retry_wanted": 2,
    "reversal_resolved": 2,
    "advice_retry_wanted": 2,
    "advice_resolved": 2,
    "terminal_admitted": 2,
    "gap_resolved": 2,
    "batch_number_set": 2,
    "advice_refused": 2,
    "download_wanted": 2,
    "upload_set_aside": 2,
    "terminal_closed": 2,
    "journal_moved": 2,
    "journal_taken_back": 2,
    "journal_restored": 2,
}
"""Record name -> version, for those that are not at version 1."""


def _with_facts(old: dict[str, Any]) -> dict[str, Any]:
    """An answer that says nothing to a chip and nothing to be printed; a refund may be resolved without one (D13)."""
    facts = old.get("facts")
    return {**old, "facts": {**facts, "icc": None, "scripts": 0, "remarks": None}} if isinstance(facts, dict) else old


def _of_nobody_known(old: dict[str, Any]) -> dict[str, Any]:
    """Beside the name that was typed nothing was kept of who asked."""
    return {**old, "who": None}


UPCASTS: dict[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]] = {
    ("authorisation_started", 1): lambda old: {**old, "partial_asked": False},  # D15
    ("authorisation_started", 2): lambda old: {**old, "reference": "", "tip_minor": 0, "confirm": False},  # D16
    ("authorisation_started", 3): lambda old: {**old, "invoice": 0},  # reference 2.4
    ("authorisation_started", 4): lambda old: {**old, "chip": False},
    ("advice_acknowledged", 1): lambda old: _with_facts(old),
    ("advice_refused", 1): lambda old: {**old, "may_be_booked": False},  # D14
    ("advice_stored", 1): lambda old: {**old, "invoice": 0},
    ("advice_stored", 2): lambda old: {**old, "foreign": False},
    ("approved", 1): lambda old: {**old, "approved_minor": None},  # D15
    ("approved", 2): lambda old: _with_facts(old),
    ("declined", 1): lambda old: {**old, "unmaced": False},  # D10
    ("declined", 2): lambda old: _with_facts(old),
    ("refund_resolved", 1): lambda old: _with_facts(old),
    ("refund_resolved", 2): lambda old: _of_nobody_known(old),
    ("settlement_wanted", 1): lambda old: _of_nobody_known(old),
    ("settlement_approved", 1): lambda old: _of_nobody_known(old),
    ("settlement_decided", 1): lambda old: _of_nobody_known(old),
    ("reversal_retry_wanted", 1): lambda old: _of_nobody_known(old),
    ("reversal_resolved", 1): lambda old: _of_nobody_known(old),
    ("advice_retry_wanted", 1): lambda old: _of_nobody_known(old),
    ("advice_resolved", 1): lambda old: _of_nobody_known(old),
    ("terminal_admitted", 1): lambda old: _of_nobody_known(old),
    ("gap_resolved", 1): lambda old: _of_nobody_known(old),
    ("batch_number_set", 1): lambda old: _of_nobody_known(old),
    ("reversal_owed", 1): lambda old: {**old, "icc": ""},
    ("reversal_stuck", 1): lambda old: {**old, "because": ""},
    ("download_wanted", 1): lambda old: _of_nobody_known({**old, "by": ""}),
    ("upload_set_aside", 1): lambda old: {**old, "because": ""},
    ("terminal_closed", 1): lambda old: {**old, "terminal_stan": None},
    ("journal_moved", 1): lambda old: _of_nobody_known(old),
    ("journal_taken_back", 1): lambda old: _of_nobody_known(old),
    ("journal_restored", 1): lambda old: _of_nobody_known({**old, "by": ""}),
}
"""(record name, version) -> the payload of the next version."""


def _name(cls: type) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


NAMES: dict[str, type] = {_name(cls): cls for cls in (*get_args(Record), *get_args(StationRecord))}
_NAME_OF = {cls: name for name, cls in NAMES.items()}


_ENCODER = msgspec.json.Encoder()


@lru_cache(maxsize=128)
def _decoder(cls: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(cls)


def record_name(record: Record | StationRecord) -> str:
    """The journal's name of a record: 'signed_in'."""
    return _NAME_OF[type(record)]


def record_version(name: str) -> int:
    """The version in which this program writes a record."""
    return VERSIONS.get(name, 1)


def dump_record(record: Record | StationRecord) -> str:
    """A record's payload as canonical JSON: fields in the order of their definition, no blanks."""
    return _ENCODER.encode(record).decode()


def load_record(name: str, version: int, payload: str) -> Record:
    """The record of a row; StorageFailed for a name, a version or a shape that this program does not know."""
    cls = NAMES.get(name)
    if cls is None or version > record_version(name):
        raise StorageFailed(
            f"the journal holds a record {name!r} of version {version} that this posd does not know; "
            "run the newer posd that wrote it"
        )
    try:
        if version == record_version(name):
            return cast(Record, _decoder(cls).decode(payload))
        fields = _decoder(dict[str, Any]).decode(payload)
        for older in range(version, record_version(name)):
            fields = UPCASTS[name, older](fields)
        return cast(Record, msgspec.convert(fields, cls))
    except msgspec.MsgspecError as error:
        raise StorageFailed(f"the journal's record {name!r} does not have its shape: {_safe(error)}") from None


def dump_state(state: State) -> str:
    """A snapshot's text."""
    return _ENCODER.encode(state).decode()


def load_state(text: str) -> State | None:
    """The state of a snapshot; None if it cannot be used: a snapshot is disposable, the records are not."""
    try:
        return cast(State, _decoder(State).decode(text))
    except msgspec.MsgspecError:
        return None


def _safe(error: msgspec.MsgspecError) -> str:
    """Where it does not fit, and never with what: "at `$.stan`"."""
    _, at, place = str(error).rpartition(" - at ")
    return f"it cannot be read{at}{place}" if at else "it is not JSON"
