"""What we say to the host: one function for each message, from the core's meaning to fields (reference 1.6-1.10)."""

from collections.abc import Mapping
from typing import assert_never

from posd.core import effects as fx
from posd.core.answers import GroupCount, Totals
from posd.core.rules import TxnKind, Upload
from posd.core.state import Transaction
from posd.errors import CannotEncode
from posd.iso8583.message import Message
from posd.iso8583.subfields import Field48End, Field48Totals, Field48Upload, Field60, Field61, GroupTotals, UploadRecord
from posd.profiles.contract import Material, Terminal
from posd.profiles.packing import unreadable
from posd.profiles.unionpay import chip, parameters
from posd.profiles.unionpay.data import (
    CURRENCY,
    ECHO,
    END_BALANCED,
    END_UNBALANCED,
    KINDS,
    MATRIX,
    NO_SECURITY_CONTROL,
    PAN_IN_REVERSAL,
    REFUND_SCHEME,
    SETTLEMENT,
    SIGN_OFF,
    STATUS,
    Row,
)
from posd.profiles.unionpay.knobs import Knobs
from posd.profiles.unionpay.named import NamedOriginal
from posd.security.cards import CardData
from posd.values import BatchNumber, RequestId, Stan


def build(
    message: fx.HostMessage,
    terminal: Terminal,
    material: Material,
    knobs: Knobs,
    control: str = NO_SECURITY_CONTROL,
) -> Message:
    """The fields of a message to the host, without its MAC. Raises CannotEncode.

    `control`: field 53 of a void that came without one.
    """
    match message:
        case fx.SendSignIn():
            fields = {
                11: _trace(message.stan),
                60: _management(message.batch_number, knobs.sign_in),
                63: knobs.operator,
            }
            return _message("0800", terminal, fields)
        case fx.SendSignOff():
            fields = {11: _trace(message.stan), 60: _management(message.batch_number, SIGN_OFF)}
            return _message("0820", terminal, fields)
        case fx.SendEcho():
            return _message("0820", terminal, {60: _management(message.batch_number, ECHO)})
        case fx.SendManagement():
            return _management_of_others(message, terminal)
        case fx.SendTransaction():
            return _transaction(message, terminal, material, control)
        case fx.SendReversal():
            return _reversal(message, terminal, material)
        case fx.SendAdvice() if message.transaction.kind is TxnKind.SCRIPT_RESULT:
            card = material.cards.get(message.transaction.request_id, CardData())
            return _message("0620", terminal, chip.script_fields(message.transaction, message.original, card))
        case fx.SendAdvice():
            txn, row = message.transaction, MATRIX[message.transaction.kind]
            return _message(row.mti, terminal, _stored(txn, message.root, material.cards))
        case fx.SendTotals():
            fields = {
                11: _trace(message.stan),
                48: totals_48(message.totals, knobs.totals_groups).format(),
                49: CURRENCY,
                60: _management(message.batch_number, SETTLEMENT),
                63: knobs.operator,
            }
            return _message("0500", terminal, fields)
        case fx.SendUpload():
            return _upload(message, terminal, material)
        case fx.SendChipDetail():
            return _message("0320", terminal, _chip_detail(message, material.cards))
        case fx.SendTrailer():
            code = END_BALANCED if message.balanced else END_UNBALANCED
            fields = {
                11: _trace(message.stan),
                48: Field48End(message.uploaded).format(),
                60: _management(message.batch_number, code),
            }
            return _message("0320", terminal, fields)
        case _:
            assert_never(message)


def _management_of_others(message: fx.SendManagement, terminal: Terminal) -> Message:
    """A download or a status upload: what a terminal sent goes on as it is (reference 1.3, 1.14)."""
    mti, _, code = message.function.partition("/")
    fields = {11: _trace(message.stan), 60: _management(message.batch_number, code)}
    block = parameters.block(message.status).hex().upper() if message.function == STATUS else ""
    if block := message.block or block:
        fields[62] = block
    return _message(mti, terminal, fields)


def _message(mti: str, terminal: Terminal, fields: Mapping[int, str]) -> Message:
    return Message(mti, {**fields, 41: terminal.tid, 42: terminal.mid})


def _trace(stan: Stan) -> str:
    return f"{stan:06d}"


def _management(batch: BatchNumber, code: str) -> str:
    return Field60("00", batch, code).format()


def _financial_60(txn: Transaction) -> str:
    """The same in the request and in its reversal (reference 1.10): our batch, the terminal's capabilities."""
    options = NamedOriginal.parse(txn.options)[0]
    return Field60(MATRIX[txn.kind].type_code, txn.batch_number, options[:3], options[3:]).format()


def _transaction(message: fx.SendTransaction, terminal: Terminal, material: Material, control: str) -> Message:
    txn = message.transaction
    row = MATRIX[txn.kind]
    request = material.requests.get(txn.request_id)
    if request is None:
        raise CannotEncode(f"{row.mti}: what the terminal sent is no longer in memory; the terminal must ask again")
    fields = {field: value for field in row.passed_on if (value := request.get(field)) is not None}
    fields |= {3: row.processing_code, 11: _trace(txn.stan), 25: row.condition_code, 49: CURRENCY}
    fields |= {60: _financial_60(txn)}
    if row.has_amount:
        fields[4] = f"{txn.amount_minor:012d}"
    if row.security:
        fields.setdefault(53, control)
    if row.names:
        fields |= _original_fields(txn, row, message.root)
    if txn.kind is TxnKind.REFUND:
        fields |= NamedOriginal.parse(txn.options)[1].refund_fields() | {63: REFUND_SCHEME}
    return _message(row.mti, terminal, fields)


def _original_fields(txn: Transaction, row: Row, original: Transaction | None) -> dict[int, str]:
    """Fields 37, 38 and 61: the original by its own batch and trace towards the host (reference 1.4).

    The date of a sale is cut off, as sample B7 has it: a void names a sale of the open batch. Of what we do not know,
    batch and trace are zero, and approval code and date are what the terminal gave.
    """
    given = NamedOriginal.parse(txn.options)[1]
    facts = original.facts if original is not None else None
    wanted = KINDS[txn.kind].original
    if original is None and (wanted is None or wanted.known):
        raise CannotEncode(f"{row.mti}: the original that this {txn.kind} names is not known")
    date = ((facts.host_date if facts else None) or given.date or "0000") if row.dated else None
    batch, stan = (original.batch_number, original.stan) if original is not None else (0, 0)
    named = {
        37: facts.rrn if facts else given.rrn,
        38: _approval_code(txn, original) or "",
        61: Field61(batch, stan, date).format(),
    }
    return {field: value for field in row.names if (value := named[field])}


def _reversal(message: fx.SendReversal, terminal: Terminal, material: Material) -> Message:
    """Fields exactly as reference 1.10: field 11 is the original's; 26, 35, 36, 37 and 52 are absent."""
    txn = message.transaction
    row = MATRIX[txn.kind]
    fields = {
        3: row.processing_code,
        4: f"{txn.amount_minor:012d}",
        11: _trace(txn.stan),
        22: txn.entry_mode,
        25: row.condition_code,
        39: message.reason,
        49: CURRENCY,
        60: _financial_60(txn),
    }
    card = material.cards.get(txn.request_id, CardData())
    if txn.entry_mode[:2] in PAN_IN_REVERSAL:
        if card.number is None:
            raise CannotEncode("0400: the card number of the original cannot be read; see the vault's data keys")
        fields[2] = card.number
    if card.expiry:
        fields[14] = card.expiry
    if card.sequence:
        fields[23] = card.sequence
    if approval := _approval_code(txn, message.original):
        fields[38] = approval
    if not row.reversal_61 and (icc := chip.in_reversal(card.kept_icc, message.icc)):
        fields[55] = icc
    if row.reversal_61:
        # Its own batch and trace, not those of its original.
        fields[61] = Field61(txn.batch_number, txn.stan).format().ljust(row.reversal_61, "0")
    return _message("0400", terminal, fields)


def _approval_code(txn: Transaction, original: Transaction | None) -> str | None:
    """What the host gave, to the request itself or to its original; else what the terminal gave."""
    carriers = [carrier for carrier in (txn, original) if carrier is not None]
    given = (carrier.facts.approval_code for carrier in carriers if carrier.facts is not None)
    told = (NamedOriginal.parse(carrier.options)[1].approval for carrier in carriers)
    return next((code for code in (*given, *told) if code), None)


def totals_48(totals: Totals, groups: int) -> Field48Totals:
    """Results 0; in one group where the acquirer has no other."""
    return Field48Totals(_group(totals.domestic), _group(totals.foreign) if groups > 1 else None)


def _group(group: GroupCount) -> GroupTotals:
    return GroupTotals(group.debit_minor, group.debit_count, group.credit_minor, group.credit_count)


def _upload(message: fx.SendUpload, terminal: Terminal, material: Material) -> Message:
    first, *others = message.transactions
    if KINDS[first.kind].upload is Upload.ALONE:
        assert not others, f"a {first.kind} is uploaded alone"
        named = message.root if KINDS[first.kind].replaces else message.original
        refund = first.kind is TxnKind.REFUND
        fields = _refund_upload(first, material.cards) if refund else _stored(first, named, material.cards)
        if first.kind is TxnKind.EC_SALE:
            fields[55] = chip.approved_offline(fields.get(55))
        return _message("0320", terminal, fields)
    records = tuple(_record(txn, material.cards) for txn in message.transactions)
    fields = {
        11: _trace(message.stan),
        48: Field48Upload(records).format(),
        60: _management(message.batch_number, SETTLEMENT),
    }
    return _message("0320", terminal, fields)


def _record(txn: Transaction, cards: Mapping[RequestId, CardData]) -> UploadRecord:
    card = cards.get(txn.request_id)
    if card is None or card.number is None:
        raise unreadable("0320", "the card number", txn.request_id)
    return UploadRecord("01" if txn.foreign else "00", txn.stan, card.number, txn.counted_minor)


def _stored(txn: Transaction, original: Transaction | None, cards: Mapping[RequestId, CardData]) -> dict[int, str]:
    """An advice, and its upload (record types 1, 2 and 4): from what was kept of it, never a track or a PIN."""
    row, card = MATRIX[txn.kind], cards.get(txn.request_id)
    if card is None or card.number is None:
        raise unreadable(row.mti, "the card number", txn.request_id)
    fields = {
        2: card.number,
        3: row.processing_code,
        4: f"{txn.amount_minor:012d}",
        11: _trace(txn.stan),
        14: card.expiry,
        22: txn.entry_mode,
        23: card.sequence,
        25: row.condition_code,
        49: CURRENCY,
        55: card.kept_icc,
        60: _financial_60(txn),
        63: row.scheme,
    }
    if row.names:
        fields |= _original_fields(txn, row, original)
    given = NamedOriginal.parse(txn.options)[1].fields()
    fields |= {field: value for field, value in given.items() if field in row.given}
    return {field: value for field, value in fields.items() if value}


def _chip_detail(message: fx.SendChipDetail, cards: Mapping[RequestId, CardData]) -> dict[int, str]:
    """Record types 5 and 6 (reference 1.7): what the chip said, with how it ended; 60.6 and 60.7 are left out."""
    txn, card = message.transaction, cards.get(message.transaction.request_id)
    if card is None or card.number is None:
        raise unreadable("0320", "the card number", txn.request_id)
    options = NamedOriginal.parse(txn.options)[0]
    code = chip.code_of(message.result, message.balanced)
    fields = {
        2: card.number,
        4: f"{txn.counted_minor:012d}",
        11: _trace(txn.stan),
        22: txn.entry_mode,
        23: card.sequence,
        55: chip.final(card.kept_icc, txn, message.result),
        60: Field60("00", message.batch_number, code, options[3:5]).format(),
        62: chip.detail(txn, message.result),
    }
    return {field: value for field, value in fields.items() if value}


def _refund_upload(txn: Transaction, cards: Mapping[RequestId, CardData]) -> dict[int, str]:
    """Record type 4 (reference 1.7): the refund once more, under its own number, without tracks, PIN and MAC."""
    row, card = MATRIX[txn.kind], cards.get(txn.request_id)
    if card is None or card.number is None:
        raise unreadable("0320", "the card number", txn.request_id)
    fields = {
        2: card.number,
        3: row.processing_code,
        4: f"{txn.counted_minor:012d}",
        11: _trace(txn.stan),
        22: txn.entry_mode,
        25: row.condition_code,
        49: CURRENCY,
        60: _financial_60(txn),
        63: REFUND_SCHEME,
    }
    if card.expiry:
        fields[14] = card.expiry
    return fields | NamedOriginal.parse(txn.options)[1].refund_fields()
