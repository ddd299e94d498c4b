"""Totals compared, uploads matched record by record, the closing, the next batch (reference 2.4, 2.5).

0500/920000: 00 closes, 95 asks for the upload. 0320: each record against the ledger, answered 00, repeats accepted.
0500/960000: 00 closes, 77 (or a second 95) closes out of balance. The acquirer's batch closes at most once.
"""

from posd.iso8583.message import Message
from simulators.chip import CRYPTOGRAM, read_55
from simulators.fields import Unreadable
from simulators.host.books import BatchState
from simulators.host.nac_books import Batch, Difference, Entry, Kind, Settlement, totals_of
from simulators.host.nac_request import APPROVED, NacRequest
from simulators.nac_fields import (
    CLOSE,
    SETTLE,
    TC_UPLOAD,
    Record,
    Totals,
    batch_number,
    invoice_number,
    next_number,
    original,
)

NOT_NOW, FORMAT_ERROR, BAD_BATCH, NO_BATCH, TRANSFER, OUT_OF_BALANCE = "12", "30", "80", "85", "95", "77"


def settle(request: NacRequest) -> Message:
    """Answer a 0500."""
    forced = request.refuse in ((TRANSFER,) if request.code == SETTLE else (OUT_OF_BALANCE, TRANSFER))
    if request.refuse is not None and not forced:
        return request.reply(request.refuse)
    if request.code not in (SETTLE, CLOSE):
        return request.reply(NOT_NOW)
    try:
        number, asked = batch_number(request.message.get(60)), Totals.parse(request.message.get(63))
    except Unreadable as trouble:
        request.remarks.append(str(trouble))
        return request.reply(FORMAT_ERROR)
    known = _known(request)
    if known is not None:
        return known
    batch = _batch(request, number)
    if batch is None:
        return _after_close(request, number)
    if request.code == SETTLE:
        return _remember(request, request.reply(_compare(request, batch, asked)))
    if batch.state is not BatchState.TOTALLED:
        request.remarks.append("a closing without totals before it")
        return request.reply(NOT_NOW)
    return _remember(request, request.reply(_end(request, batch, asked)))


def upload(request: NacRequest) -> Message:
    """Answer a 0320: a record, or the certificate of a chip transaction (940000), which may come before the totals."""
    if request.refuse is not None:
        return request.reply(request.refuse)
    known = _known(request)
    if known is not None:
        return known
    try:
        return _remember(request, request.reply(_take(request, request.terminal.batch)))
    except Unreadable as trouble:
        request.remarks.append(str(trouble))
        return request.reply(FORMAT_ERROR)


def _batch(request: NacRequest, number: int) -> Batch | None:
    """The open batch, if this is its number; by `batch_numbers: follow` it takes the terminal's."""
    batch = request.terminal.batch
    if batch.number == number:
        return batch
    if request.nac.batch_numbers == "follow" and request.terminal.find_batch(number) is None:
        batch.number = number
        return batch
    return None


def _after_close(request: NacRequest, number: int) -> Message:
    """A 0500 that names no open batch: closed already, or never known."""
    request.remarks.append(f"a 0500 for batch {number}, ours is {request.terminal.batch.number}")
    closed = request.terminal.find_batch(number) is not None
    choice = request.nac.repeat_after_close
    return request.reply(choice if closed and choice != "same" else BAD_BATCH)


def _compare(request: NacRequest, batch: Batch, asked: Totals) -> str:
    """Totals against the ledger; what an earlier attempt uploaded stays uploaded."""
    ours = batch.totals()
    forced = request.nac.disagree != "never" or request.refuse == TRANSFER
    code = APPROVED if asked == ours and not forced else TRANSFER
    settlement = Settlement(request.stan, request.now_ms, asked, ours, code)
    if batch.settlements:
        before = batch.settlements[-1]
        settlement.uploaded, settlement.differences = dict(before.uploaded), dict(before.differences)
    batch.settlements.append(settlement)
    groups = {"all": {"asked": asked.as_dict(), "ours": ours.as_dict(), "result": 1 if code == APPROVED else 2}}
    request.find("totals", batch=batch.number, code=code, balanced=code == APPROVED, groups=groups)
    batch.state = BatchState.TOTALLED
    if code == APPROVED:
        _close(request, batch)
    return code


def _take(request: NacRequest, batch: Batch) -> str:
    mti, stan = original(request.message.get(60))
    if request.code[:2] == TC_UPLOAD[:2]:
        if CRYPTOGRAM not in read_55(request.message.get(55)):
            request.remarks.append("a certificate without tag 9F26")
        if stan not in batch.entries:
            request.remarks.append(f"a certificate for STAN {stan}, which is not in the batch")
        batch.certificates.add(stan)
        request.find("upload", batch=batch.number, chip_details=batch.chip_details)
        return APPROVED
    if batch.state is not BatchState.TOTALLED:
        request.remarks.append("an upload without totals before it")
        return NOT_NOW if len(request.terminal.batches) == 1 or batch.entries else NO_BATCH
    invoice = invoice_number(request.message.get(62))
    record = Record(stan, invoice, request.pan, request.amount_minor, request.code[:2] in ("20", "02"))
    entry = _origin(batch.entries.get(stan))
    if entry is not None and mti not in (entry.mti, "0220"):
        request.remarks.append(f"STAN {stan} was a {entry.mti}, uploaded as a {mti}")
    _match(request, batch, entry, record)
    return APPROVED


def _origin(entry: Entry | None) -> Entry | None:
    """What an adjustment adjusted, which is what counts; anything else is itself."""
    return entry.original if entry is not None and entry.kind is Kind.ADJUST and not entry.is_void else entry


def _match(request: NacRequest, batch: Batch, entry: Entry | None, record: Record) -> None:
    """By original STAN, invoice, card and amount; a record that comes again counts once (2.5)."""
    settlement = batch.settlements[-1]
    counted = entry is not None and entry.side(batch.voids) is not None
    ours = entry.as_record(batch.voids) if entry is not None and counted else None
    key = entry.stan if entry is not None else record.stan
    settlement.repeated += key in settlement.uploaded
    settlement.uploaded[key] = record
    kind = _difference(ours, record)
    settlement.differences.pop(key, None)
    if kind is not None:
        settlement.differences[key] = Difference(kind, key, ours, record)
    request.find(
        "upload",
        batch=batch.number,
        uploaded=len(settlement.uploaded),
        matched=settlement.matched,
        differences=[settlement.differences[key].dump()] if kind else [],
    )


def _difference(ours: Record | None, theirs: Record) -> str | None:
    if ours is None:
        return "extra"
    if ours.amount_minor != theirs.amount_minor or ours.refund is not theirs.refund:
        return "amount"
    if ours.pan != theirs.pan:
        return "card"
    return "invoice" if ours.invoice != theirs.invoice else None


def _end(request: NacRequest, batch: Batch, asked: Totals) -> str:
    """The closing after the upload: do the totals agree with what was uploaded, and that with the ledger?"""
    settlement = batch.settlements[-1]
    for entry in batch.counted():
        if entry.stan not in settlement.uploaded:
            settlement.differences[entry.stan] = Difference("missing", entry.stan, entry.as_record(batch.voids), None)
    agrees = asked == totals_of(list(settlement.uploaded.values()))
    if request.nac.closing == "matched":
        agrees = agrees and not settlement.differences
    forced = request.nac.disagree == "always" or request.refuse is not None
    settlement.end_code = (request.refuse or request.nac.out_of_balance) if forced or not agrees else APPROVED
    if asked != settlement.asked:
        request.remarks.append("the closing has other totals than the settlement before it")
    request.find(
        "batch ended",
        batch=batch.number,
        code=settlement.end_code,
        uploaded=len(settlement.uploaded),
        matched=settlement.matched,
        differences=[one.dump() for one in settlement.differences.values()],
    )
    _close(request, batch)
    return settlement.end_code


def _close(request: NacRequest, batch: Batch) -> None:
    batch.state = BatchState.CLOSED
    batch.closed_at_ms = request.now_ms
    request.terminal.batches.append(Batch(next_number(batch.number), batch.voids))
    request.find("batch closed", batch=batch.number, next=request.terminal.batch.number)


def _key(request: NacRequest) -> tuple[str, str, int]:
    return (request.mti, request.code, request.stan)


def _said(request: NacRequest) -> str:
    """What makes a repeat of a management message the same."""
    return "|".join(request.message.get(number) or "" for number in (4, 60, 62, 63))


def _known(request: NacRequest) -> Message | None:
    """The answer that the same message got before, unless this host says something else once a batch is closed."""
    said, answer = request.terminal.management_answers.get(_key(request), (None, None))
    if said != _said(request) or answer is None:
        return None
    if request.mti == "0500" and request.nac.repeat_after_close != "same" and _is_closed(request):
        return None
    return answer


def _is_closed(request: NacRequest) -> bool:
    batch = request.terminal.find_batch(batch_number(request.message.get(60)))
    return batch is not None and batch.state is BatchState.CLOSED


def _remember(request: NacRequest, answer: Message) -> Message:
    request.terminal.management_answers[_key(request)] = (_said(request), answer)
    return answer
