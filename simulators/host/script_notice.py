"""Issuer scripts: what a 0620 says of them, and which were never reported (reference 1.3, 1.7 step 1)."""

from collections.abc import Iterator

from posd.iso8583.message import Message
from simulators.chip import SCRIPT_RESULT, read_55
from simulators.fields import Field61, Unreadable
from simulators.host.books import Batch, Entry
from simulators.host.request import APPROVED, Request

NOTICE = "951"


def notice(request: Request) -> Message:
    """Answer a 0620: 00, or 25 where field 61 names nothing of ours. A repeat gets 00 again."""
    if request.field60.code != NOTICE:
        return request.reply("40")
    if request.refuse is not None:
        return request.reply(request.refuse)
    try:
        named = Field61.parse(request.message.get(61))
        tags = read_55(request.message.get(55))
    except Unreadable as trouble:
        request.deviates([str(trouble)])
        return request.reply("30")
    batch = request.terminal.find_batch(named.batch)
    entry = batch.entries.get(named.stan) if batch is not None else None
    if entry is None or request.pan not in ("", entry.pan):
        return request.reply("25")
    if SCRIPT_RESULT not in tags:
        request.deviates([f"a script notice without tag {SCRIPT_RESULT}"])
    if not entry.script:
        request.remarks.append(f"a script notice for STAN {entry.stan}, which was sent no script")
    entry.script, entry.script_result = "reported", tags.get(SCRIPT_RESULT, b"").hex().upper()
    return request.reply(APPROVED)


def unreported(batch: Batch) -> Iterator[Entry]:
    """Approvals of a batch whose script results are still owed."""
    return (entry for entry in batch.entries.values() if entry.script == "sent" and entry.went_through)
