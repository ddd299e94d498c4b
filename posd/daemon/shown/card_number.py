"""Whether the card number of a transaction can still be read, and since when not (D29). It opens nothing."""

import json
from pathlib import Path

from posd.daemon.shown.views import Around, View
from posd.journal.contract import RecordView
from posd.journal.reader import JournalReader
from posd.security.datakeyfile import is_key_id, path_in

DESTROYED = "numbers_destroyed"
NONE, KEPT, GONE, MISSING = "none", "kept", "gone", "missing"


def card_number(reader: JournalReader, keys: Path, request_id: str, around: Around) -> View | None:
    """`state`: "none" was kept, "kept", "gone" (`since`: when its key was destroyed), or "missing": its key is lost, or
    in another place. None: this user may not look for the key."""
    sealed = next((row for row in reader.records(request_id=request_id, newest_first=True) if row.sealed), None)
    if sealed is None:
        return {"state": NONE, "since": None}
    try:
        there = is_key_id(sealed.key_id or "") and path_in(keys, sealed.key_id or "").stat().st_size > 0
    except FileNotFoundError:
        there = False
    except OSError:
        return None
    if there:
        return {"state": KEPT, "since": None}
    at_ms = _destroyed_ms(reader, sealed)
    return {"state": MISSING, "since": None} if at_ms is None else {"state": GONE, "since": around.when(at_ms)}


def _destroyed_ms(reader: JournalReader, sealed: RecordView) -> int | None:
    """When the data key was destroyed, as recorded."""
    rows = reader.records(tid=sealed.tid, kind=DESTROYED, after=sealed.sequence)
    return next((row.at_ms for row in rows if sealed.key_id in json.loads(row.payload)["key_ids"]), None)
