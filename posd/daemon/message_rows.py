"""What the journal keeps of a message: masked fields, and the exact bytes for their digest only (design, "journal").

The card number is sealed with its batch. A message of no batch keeps none: nothing would ever end its key."""

from collections.abc import Mapping

import msgspec

from posd.journal.contract import MessageRow
from posd.profiles.contract import Arrived, Outgoing
from posd.values import Now, RequestId

_JSON = msgspec.json.Encoder()


def outgoing_row(
    tid: str, outgoing: Outgoing, peer: str, now: Now, request_id: RequestId | None, key_batch: int
) -> MessageRow:
    """A message that is about to leave. `key_batch`: the identity of its terminal's batch; 0: of none."""
    return MessageRow(
        tid=tid,
        at_ms=now.wall_ms,
        direction="out",
        peer=peer,
        mti=outgoing.mti,
        fields=_text(outgoing.masked),
        raw=outgoing.frame,
        request_id=request_id,
        stan=outgoing.stan,
        rrn=outgoing.rrn,
        batch=outgoing.batch,
        secret=outgoing.pan if key_batch else None,
        key_batch=key_batch,
    )


def incoming_row(
    tid: str,
    arrived: Arrived,
    masked: Mapping[str, str],
    peer: str,
    now: Now,
    request_id: RequestId | None,
    batch: int | None,
    key_batch: int,
) -> MessageRow:
    """A message that came. `batch`: what it says itself; `key_batch` as above."""
    message = arrived.message
    trace, number = message.get(11), message.get(2)
    return MessageRow(
        tid=tid,
        at_ms=now.wall_ms,
        direction="in",
        peer=peer,
        mti=message.mti,
        fields=_text(masked),
        raw=arrived.body,
        request_id=request_id,
        stan=int(trace) if trace else None,
        rrn=message.get(37),
        batch=batch,
        secret=number.encode() if number and key_batch else None,
        key_batch=key_batch,
    )


def _text(masked: Mapping[str, str]) -> str:
    return _JSON.encode(masked).decode()
