"""The terminal's batch upload by its log: records, single messages, chip details (reference 1.7, types 1 to 6)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from posd.iso8583.message import Message
from simulators.chip import AAC, TC, ChipDetail, write_55
from simulators.fields import DOMESTIC, FOREIGN, RECORDS_MAX, UploadRecord, format_upload
from simulators.host.kinds import MATRIX, Kind, Upload
from simulators.terminal.chip_card import Chip

if TYPE_CHECKING:
    from simulators.terminal.core import Logged, Sent, Terminal

BEFORE_RECORDS = (Kind.OFFLINE_SALE, Kind.ADJUST, Kind.TIP, Kind.EC_SALE)
AFTER_RECORDS = (Kind.REFUND, Kind.EC_REFUND, Kind.COMPLETION_NOTICE)
WITH_TC = frozenset({Kind.SALE, Kind.PREAUTH, Kind.EC_LOAD, Kind.EC_CASH_LOAD, Kind.EC_TRANSFER_LOAD})
KEPT = (2, 3, 4, 11, 14, 22, 23, 25, 37, 38, 41, 42, 49, 61, 62, 63)
"""What a single record has in common with its request; field 55 only in an offline sale of electronic cash."""

TERMINAL_READS = "50"
ARPC_FAILED = "05"
REFUSED, ARPC = ("1", "0"), ("2", "1")


def uploads(terminal: Terminal) -> Iterator[Sent]:
    """Everything in the order of 1.7, without the end message."""
    yield from (_single(terminal, one) for one in singles(terminal, BEFORE_RECORDS))
    known = records(terminal)
    for at in range(0, len(known), RECORDS_MAX):
        block = format_upload(known[at : at + RECORDS_MAX])
        yield terminal.management("upload", "0320", "201", {48: block})
    yield from (_single(terminal, one) for one in singles(terminal, AFTER_RECORDS))
    details = chip_details(terminal)
    yield from (_detail(terminal, one) for one in sorted(details, key=lambda one: bool(one.failed)))


def count(terminal: Terminal) -> int:
    """How many records all of it has: what the end message says."""
    alone = singles(terminal, BEFORE_RECORDS) + singles(terminal, AFTER_RECORDS)
    return len(records(terminal)) + len(alone) + len(chip_details(terminal))


def records(terminal: Terminal) -> tuple[UploadRecord, ...]:
    """What goes eight a message: magnetic online transactions of groups that did not agree (type 3)."""
    return tuple(
        UploadRecord(FOREIGN if one.foreign else DOMESTIC, stan, one.pan, one.amount_minor)
        for stan, one in terminal.log.items()
        if _wanted(terminal, one, Upload.RECORDS) and not (one.tags and one.kind in WITH_TC)
    )


def singles(terminal: Terminal, kinds: tuple[Kind, ...]) -> list[Logged]:
    """What goes alone: of unbalanced groups (types 1, 2 and 4), in the order of `kinds`."""
    logged = terminal.log.values()
    return [one for kind in kinds for one in logged if one.kind is kind and _wanted(terminal, one, Upload.SINGLE)]


def chip_details(terminal: Terminal) -> list[Logged]:
    """Chip approvals and those that the card refused or that failed: always (types 5 and 6)."""
    chips = (one for one in terminal.log.values() if one.tags and one.kind in WITH_TC)
    return [one for one in chips if one.approved or one.failed]


def _wanted(terminal: Terminal, one: Logged, upload: Upload) -> bool:
    return one.counts and MATRIX[one.kind].upload is upload and not terminal.settled_groups[one.foreign]


def _single(terminal: Terminal, one: Logged) -> Sent:
    """The request once more under its own trace: no track, no PIN, no MAC; 60 is type and batch."""
    said = one.sent.message
    fields = {number: value for number in KEPT if (value := said.get(number)) is not None}
    fields |= {4: f"{one.amount_minor:012d}", 60: (said.get(60) or "")[:8], 38: one.approval or said.get(38) or ""}
    fields |= {2: one.pan} | ({55: said.get(55) or ""} if one.kind is Kind.EC_SALE else {})
    kept = {number: value for number, value in sorted(fields.items()) if value}
    return terminal.request("upload_single", Message("0320", _allowed(one.kind, kept)))


def _allowed(kind: Kind, fields: dict[int, str]) -> dict[int, str]:
    """An offline sale of electronic cash has no approval code: nobody was asked."""
    return {number: value for number, value in fields.items() if not (kind is Kind.EC_SALE and number in (37, 38))}


def _detail(terminal: Terminal, one: Logged) -> Sent:
    """Type 5 or 6: the stored field 55 with the card's last cryptogram."""
    agreed, said = all(terminal.settled_groups), one.sent.message
    code = {(True, ""): "203", (False, ""): "205"}.get((agreed, one.failed), "204" if agreed else "206")
    amount = one.amount_minor or int(said.get(4) or "0")
    chip = Chip(one.pan, one.sent.stan, amount, terminal.today)
    refused = one.failed not in ("", ARPC_FAILED)
    tags = {**(one.tags or {}), **chip.final(AAC if refused else TC)}
    card_class = FOREIGN if one.foreign else DOMESTIC
    ends = ("", "") if not one.failed else REFUSED if refused else ARPC
    fields = {
        2: one.pan,
        4: f"{amount:012d}",
        11: f"{one.sent.stan:06d}",
        22: said.get(22) or "",
        23: said.get(23) or "",
        41: terminal.tid,
        42: terminal.mid,
        55: write_55(tags),
        60: f"00{terminal.batch:06d}{code}{TERMINAL_READS}",
        62: ChipDetail(card_class, one.failed or "00", amount, *ends).format(),
    }
    return terminal.request("upload_chip", Message("0320", fields))
