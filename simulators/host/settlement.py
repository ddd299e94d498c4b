"""Totals compared group by group, uploads matched record by record, the end message, the next batch (1.6, 1.7)."""

from posd.iso8583.message import Message
from posd.values import BatchNumber, next_batch_number
from simulators.fields import (
    GROUP_DIGITS,
    Totals,
    Unreadable,
    UploadRecord,
    parse_end_count,
    parse_totals,
    parse_upload,
)
from simulators.host.books import Batch, BatchState, Entry, EntryState, Settlement
from simulators.host.chip_details import CHIP_DETAILS, chip_missing, take_detail
from simulators.host.differences import declined, difference, missing
from simulators.host.request import APPROVED, Request
from simulators.host.script_notice import unreported

END_UNBALANCED, END_BALANCED = "202", "207"
BALANCED, UNBALANCED = 1, 2


def settle(request: Request) -> Message:
    """Answer a 0500: the host's totals with result 1 or 2 in each group; no field 39 unless refused."""
    if request.refuse is not None:
        return request.reply(request.refuse)
    batch = request.terminal.find_batch(request.field60.batch)
    if batch is None or (batch.state is not BatchState.CLOSED and not request.current_batch):
        return request.reply("77")
    try:
        asked = parse_totals(request.message.get(48))
    except Unreadable as trouble:
        request.deviates([str(trouble)])
        return request.reply("30")
    if batch.state is BatchState.CLOSED:
        return _after_close(request)
    known = _known(request)
    if known is not None:
        return known
    request.remarks.extend(  # perhaps the script never arrived: no finding against the terminal
        f"totals before the script result of STAN {entry.stan} was reported" for entry in unreported(batch)
    )
    settlement = Settlement(request.stan, request.now_ms, _compare(request, batch, *asked))
    batch.settlements.append(settlement)
    batch.state = BatchState.TOTALLED
    request.find("totals", balanced=settlement.balanced, groups=settlement.dump()["groups"])
    if settlement.balanced and request.behaviour.close_at == "totals":
        close(request, batch)
    groups = [_with_result(ours, result) for _, ours, result in settlement.groups.values()]
    return _remember(request, request.reply(None, {48: "".join(groups)}))


def upload(request: Request) -> Message:
    """Answer a 0320: magnetic records, a single record, chip details, or the end message."""
    if request.refuse is not None:
        return request.reply(request.refuse)
    known = _known(request)
    if known is not None:
        return known
    batch = request.terminal.find_batch(request.field60.batch)
    if batch is None or not batch.settlements:
        request.remarks.append("a 0320 without totals before it")
        return request.reply("77" if batch is None else "12")
    try:
        code = _take(request, batch, batch.settlements[-1])
    except Unreadable as trouble:
        request.deviates([str(trouble)])
        code = "30"
    return _remember(request, request.reply(code))


def close(request: Request, batch: Batch) -> None:
    """The batch is done; the next number opens (1.7 step 8), unless the host went on with another one already."""
    current = request.terminal.batch is batch
    batch.state = BatchState.CLOSED
    batch.closed_at_ms = request.now_ms
    if current:
        request.terminal.batches.append(Batch(next_batch_number(BatchNumber(batch.number))))
    request.find("batch closed", next=request.terminal.batch.number)


def _take(request: Request, batch: Batch, settlement: Settlement) -> str:
    code = request.field60.code
    if code in (END_BALANCED, END_UNBALANCED):
        _end(request, batch, settlement, parse_end_count(request.message.get(48)))
        return APPROVED
    early = request.behaviour.close_at == "totals" and settlement.end_code is None and code in CHIP_DETAILS
    if batch.state is BatchState.CLOSED and not early:
        request.remarks.append(f"an upload after batch {batch.number} was closed")
        return "77"
    if code in CHIP_DETAILS:
        take_detail(request, batch, settlement)
        request.find("upload", chip_details=len(settlement.chip))
        return APPROVED
    if request.message.get(4) is not None:
        entry = batch.entries.get(request.stan)
        card_class = "01" if entry is not None and entry.foreign else "00"
        records: tuple[UploadRecord, ...] = (UploadRecord(card_class, request.stan, request.pan, request.amount_minor),)
    else:
        records = parse_upload(request.message.get(48))
    for record in records:
        _match(batch, settlement, record)
    odd = [settlement.differences.get((record.stan, record.card_class)) for record in records]
    request.find(
        "upload",
        records=len(records),
        uploaded=len(settlement.uploaded),
        matched=settlement.matched,
        differences=[one.dump() for one in odd if one is not None],
    )
    return APPROVED


def _match(batch: Batch, settlement: Settlement, record: UploadRecord) -> None:
    """By trace, card, amount and class (1.7 host side); a record that comes again counts once."""
    key = (record.stan, record.card_class)
    if settlement.uploaded.get(key) == record:
        return
    if key in settlement.uploaded and key not in settlement.differences:
        settlement.matched -= 1
    settlement.uploaded[key] = record
    entry = batch.entries.get(record.stan)
    found = difference(entry.as_record() if entry is not None and entry.uploadable else None, record)
    if entry is not None and entry.state is EntryState.DECLINED and found is not None:
        found = declined(entry.code, record)
    if found is None:
        settlement.matched += 1
        settlement.differences.pop(key, None)
        return
    settlement.differences[key] = found
    (settlement.extra if found.kind == "extra" else settlement.mismatched).append(str(found))


def _end(request: Request, batch: Batch, settlement: Settlement, count: int) -> None:
    code = request.field60.code
    if batch.state is BatchState.CLOSED:
        if settlement.end_code is not None:
            request.remarks.append(f"batch {batch.number} ended once more")
            return
    else:
        close(request, batch)
    settlement.end_code, settlement.end_count = code, count
    if code != (END_BALANCED if settlement.balanced else END_UNBALANCED):
        request.deviates([f"ended with {code} after totals that were {_word(settlement)}"])
    if not settlement.end_count_agrees:
        request.deviates([f"end count {count}, {settlement.arrived} records were uploaded"])
    lost = [missing(entry.as_record()) for entry in _expected(batch, settlement)]
    settlement.missing = [str(one) for one in lost]
    settlement.chip_missing = chip_missing(batch, settlement)
    settlement.differences |= {(one.stan, one.kind): one for one in lost}
    _say_ended(request, settlement)


def _say_ended(request: Request, settlement: Settlement) -> None:
    request.find(
        "batch ended",
        code=settlement.end_code,
        count=settlement.end_count,
        uploaded=len(settlement.uploaded),
        chip_details=len(settlement.chip),
        count_agrees=settlement.end_count_agrees,
        matched=settlement.matched,
        differences=[one.dump() for one in settlement.differences.values()],
    )


def _expected(batch: Batch, settlement: Settlement) -> list[Entry]:
    """What counts in an unbalanced group and was not uploaded, neither as a record nor as a chip detail."""
    uploaded = {stan for stan, _ in settlement.uploaded} | set(settlement.chip)
    return [
        entry
        for entry in batch.entries.values()
        if entry.uploadable and entry.stan not in uploaded and not settlement.agreed(entry.foreign)
    ]


def _compare(
    request: Request, batch: Batch, domestic: Totals, foreign: Totals | None
) -> dict[str, tuple[Totals, Totals, int]]:
    ours = batch.totals()
    forced = request.behaviour.unbalance
    groups = {"domestic": (domestic, ours[0] if foreign else ours[0].plus(ours[1]))}
    if foreign is not None:
        groups["foreign"] = (foreign, ours[1])
    return {
        name: (asked, host, BALANCED if asked.same_as(host) and forced not in (name, "both") else UNBALANCED)
        for name, (asked, host) in groups.items()
    }


def _after_close(request: Request) -> Message:
    """A 0500 for a batch that is closed: 77, 94, or the zero totals of a host that has moved on (D20's trouble).

    `same`: a repeat (same STAN, same field 48) gets the answer of the first; anything else zero totals.
    """
    match request.behaviour.repeat_after_close:
        case "77" | "94" as code:
            return request.reply(code)
        case "same" if (known := _known(request)) is not None:
            return known
    groups = len(request.message.get(48) or "") // GROUP_DIGITS
    return request.reply(None, {48: _with_result(Totals(), UNBALANCED) * groups})


def _with_result(totals: Totals, result: int) -> str:
    return totals.format()[:-1] + str(result)


def _word(settlement: Settlement) -> str:
    return "balanced" if settlement.balanced else "not balanced"


def _key(request: Request) -> tuple[str, int, int, str]:
    return (request.message.mti, request.field60.batch, request.stan, request.field60.code)


def _known(request: Request) -> Message | None:
    """The answer that the same message got before; 94 when another message comes under the same numbers."""
    known = request.terminal.management_answers.get(_key(request))
    if known is None:
        return None
    asked, answer = known
    if asked == _content(request):
        return answer
    request.remarks.append(f"{request.message.mti} {request.stan} repeated with other content")
    return request.reply("94")


def _remember(request: Request, answer: Message) -> Message:
    request.terminal.management_answers[_key(request)] = (_content(request), answer)
    return answer


def _content(request: Request) -> str | None:
    """What a repeat must say again: field 48, or the record itself where one comes alone."""
    message = request.message
    if message.get(4) is None:
        return message.get(48)
    return "/".join(message.get(number) or "" for number in (2, 3, 4, 37, 55, 60, 61, 62))
