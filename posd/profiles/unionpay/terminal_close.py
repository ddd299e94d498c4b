"""The messages of the terminal's own close, as events: totals, upload in every form, end (reference 1.6, 1.7)."""

from msgspec.structs import replace

from posd.core import events as e
from posd.core.answers import GroupCount, Totals
from posd.errors import MalformedMessage
from posd.iso8583.message import Message
from posd.iso8583.subfields import Field48End, Field48Totals, Field48Upload, Field60, GroupTotals
from posd.profiles.unionpay import chip
from posd.profiles.unionpay.data import END_BALANCED, END_UNBALANCED
from posd.security.cards import keyed_digest
from posd.values import Minor, Stan

FOREIGN = "01"


def totals_given(message: Message, reply_to: str) -> e.TerminalTotalsGiven:
    """A 0500. Raises MalformedMessage."""
    parsed = Field48Totals.parse(_need(message, 48))
    totals = Totals(_group(parsed.domestic), _group(parsed.foreign or GroupTotals(0, 0, 0, 0)))
    return e.TerminalTotalsGiven(_batch(message), totals, reply_to)


def uploaded(message: Message, digest_key: bytes, reply_to: str) -> e.TerminalUploaded:
    """A 0320: up to eight magnetic records, one transaction as a whole message, what a chip did in one, or the end.

    Raises MalformedMessage.
    """
    field_60, text = Field60.parse(_need(message, 60)), message.get(48)
    if field_60.code in chip.CHIP_DETAILS:
        return e.TerminalUploaded(field_60.batch, reply_to, (_chip_detail(message, digest_key),))
    if field_60.code in (END_BALANCED, END_UNBALANCED):
        return e.TerminalUploaded(field_60.batch, reply_to, stated=Field48End.parse(_need(message, 48)).count)
    if text is not None:
        records = Field48Upload.parse(text).records
        items = tuple(
            e.UploadedItem(
                Stan(record.stan),
                Minor(record.amount_minor),
                keyed_digest(digest_key, record.pan),
                record.card_class == FOREIGN,
            )
            for record in records
        )
        return e.TerminalUploaded(field_60.batch, reply_to, items)
    return e.TerminalUploaded(field_60.batch, reply_to, (_alone(message, digest_key),))


def _alone(message: Message, digest_key: bytes) -> e.UploadedItem:
    pan = message.get(2)
    card = keyed_digest(digest_key, pan) if pan is not None else None
    return e.UploadedItem(Stan(int(_need(message, 11))), Minor(int(_need(message, 4))), card)


def _chip_detail(message: Message, digest_key: bytes) -> e.UploadedItem:
    """Record types 5 and 6: what a chip did in one transaction."""
    end, foreign = chip.told_end(message)
    return replace(_alone(message, digest_key), foreign=foreign, chip=end)


def _batch(message: Message) -> int:
    return Field60.parse(_need(message, 60)).batch


def _group(group: GroupTotals) -> GroupCount:
    return GroupCount(group.debit_minor, group.debit_count, group.credit_minor, group.credit_count)


def _need(message: Message, field: int) -> str:
    value = message.get(field)
    if value is None:
        raise MalformedMessage("is missing", field=str(field))
    return value
