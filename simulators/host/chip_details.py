"""Chip details of a batch upload: TCs (203, 205) and failed records (204, 206) against the ledger (1.7, types 5, 6)."""

from collections.abc import Iterator

from simulators.chip import AAC, CRYPTOGRAM, CRYPTOGRAM_KIND, TC, ChipDetail, Tags, read_55
from simulators.fields import DOMESTIC, FOREIGN, UploadRecord
from simulators.host.books import Batch, ChipRecord, Entry, EntryState, Settlement
from simulators.host.kinds import Kind
from simulators.host.request import Request

CHIP_DETAILS = frozenset({"203", "204", "205", "206"})
FAILED = frozenset({"204", "206"})
OF_BALANCED = frozenset({"203", "204"})
WITH_TC = frozenset({Kind.SALE, Kind.PREAUTH, Kind.EC_LOAD, Kind.EC_CASH_LOAD, Kind.EC_TRANSFER_LOAD})
REFUSED_BY_CARD = frozenset({"11", "13"})


def take_detail(request: Request, batch: Batch, settlement: Settlement) -> None:
    """Book one detail under the trace of its original; one that comes again counts once. Unreadable: no layout."""
    detail = ChipDetail.parse(request.message.get(62))
    tags = read_55(request.message.get(55))
    entry = batch.entries.get(request.stan)
    problems = [*_of_code(request, settlement, detail), *_of_entry(request, entry, detail), *_of_tags(detail, tags)]
    request.deviates(f"chip detail: {problem}" for problem in problems)
    code = request.field60.code
    odd = f"STAN {request.stan}: {', '.join(problems)}" if problems else ""
    settlement.chip[request.stan] = ChipRecord(code, request.stan, detail.amount_minor, odd)


def chip_missing(batch: Batch, settlement: Settlement) -> list[str]:
    """Chip approvals of this batch of which neither a detail nor a record came."""
    known = set(settlement.chip) | {stan for stan, _ in settlement.uploaded}
    wanted = (one for one in batch.entries.values() if one.chip and one.kind in WITH_TC)
    return [f"STAN {one.stan}: no chip detail" for one in wanted if one.went_through and one.stan not in known]


def _of_code(request: Request, settlement: Settlement, detail: ChipDetail) -> Iterator[str]:
    """60.3 says balanced or not, of everything or of the card's own group, and failed or not."""
    code = request.field60.code
    agreed = {settlement.balanced, settlement.agreed(detail.card_class == FOREIGN)}
    if (code in OF_BALANCED) not in agreed:
        yield f"{code} after totals that were {'balanced' if settlement.balanced else 'not balanced'}"
    if (code in FAILED) is not detail.failed:
        yield f"{code} with field 62 of the other kind"


def _of_entry(request: Request, entry: Entry | None, detail: ChipDetail) -> Iterator[str]:
    if entry is None:
        yield "not in our books"
        return
    ours = UploadRecord(FOREIGN if entry.foreign else DOMESTIC, entry.stan, entry.pan, entry.amount_minor)
    if not entry.chip:
        yield "its request had no field 55"
    if detail.amount_minor != ours.amount_minor or request.amount_minor != ours.amount_minor:
        yield "another amount"
    if request.pan != ours.pan:
        yield "another card"
    if detail.card_class != ours.card_class:
        yield "another class"
    if not detail.failed and not entry.went_through:
        yield f"a TC of one that is {entry.state}"
    if detail.code in REFUSED_BY_CARD and entry.state is not EntryState.REVERSED:
        yield f"refused by the card and {entry.state} here"


def _of_tags(detail: ChipDetail, tags: Tags) -> Iterator[str]:
    """A TC has its final cryptogram and 9F27 = 40, an AAC 9F27 = 00."""
    kind = tags.get(CRYPTOGRAM_KIND, b"").hex()
    if CRYPTOGRAM not in tags:
        yield f"no tag {CRYPTOGRAM}"
    wanted = {TC} if not detail.failed else {AAC} if detail.code in REFUSED_BY_CARD else {TC, AAC}
    if kind not in wanted:
        yield f"tag {CRYPTOGRAM_KIND} says {kind or 'nothing'}"
