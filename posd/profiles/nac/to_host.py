"""What we say to a NAC host: one function for each message, from the core's meaning to fields (reference 2.3-2.6)."""

from typing import assert_never

from posd.core import effects as fx
from posd.core.answers import Totals
from posd.core.rules import TxnKind
from posd.core.schedule import local
from posd.core.state import Transaction
from posd.errors import CannotEncode
from posd.iso8583.message import Message
from posd.iso8583.nac_subfields import AmountText, Field60Batch, Field60Original, Field62Invoice, Field63Totals
from posd.profiles.contract import Material, Terminal
from posd.profiles.nac.data import CERTIFICATES, CLOSE, ECHO, LOGON, MATRIX, MORE_FOLLOWS, SETTLE, TOLD
from posd.profiles.nac.kept import Kept
from posd.profiles.nac.knobs import Knobs
from posd.profiles.nac.parameters import fields_of
from posd.profiles.packing import unreadable
from posd.security.cards import CardData
from posd.values import BatchNumber, Stan

Fields = dict[int, str | None]


def build(message: fx.HostMessage, terminal: Terminal, material: Material, knobs: Knobs) -> Message:
    """The fields of a message to the host, without its MAC. Raises CannotEncode."""
    match message:
        case fx.SendSignIn():
            return _message("0800", terminal, knobs, {3: LOGON, 11: _trace(message.stan)})
        case fx.SendSignOff():
            raise CannotEncode("this dialect has no sign-off; write host.sign_off_after_close: no")
        case fx.SendChipDetail():
            raise CannotEncode("0320: here a chip's certificate comes from its terminal, as a message of its own")
        case fx.SendManagement():
            asked: Fields = {**fields_of(message.block), 3: message.function, 11: _trace(message.stan)}
            return _message("0800", terminal, knobs, asked)
        case fx.SendEcho():
            return Message("0800", {3: ECHO, 24: knobs.nii, 41: terminal.tid})
        case fx.SendTransaction():
            return _transaction(message, terminal, material, knobs)
        case fx.SendReversal():
            return _reversal(message, terminal, material, knobs)
        case fx.SendAdvice():
            return _advice(message, terminal, material, knobs)
        case fx.SendTotals():
            fields = _settlement(SETTLE, message.stan, message.batch_number, message.totals, knobs)
            return _message("0500", terminal, knobs, fields)
        case fx.SendTrailer():
            fields = _settlement(CLOSE, message.stan, message.batch_number, message.totals, knobs)
            return _message("0500", terminal, knobs, fields)
        case fx.SendUpload():
            return _upload(message, terminal, material, knobs)
        case _:
            assert_never(message)


def _message(mti: str, terminal: Terminal, knobs: Knobs, fields: Fields) -> Message:
    every: Fields = {**fields, 24: knobs.nii, 41: terminal.tid, 42: terminal.mid}
    return Message(mti, {number: value for number, value in every.items() if value})


def _trace(stan: Stan) -> str:
    return f"{stan:06d}"


def invoice_of(txn: Transaction, root: Transaction | None) -> str:
    """Field 62, kept through void, adjustment and upload. In the journal of an older posd a till's order has none: that
    is its STAN, and what refers to another transaction has the number of that."""
    named = root if root is not None and not txn.invoice else txn
    return Field62Invoice(named.invoice or named.stan).format()


def _times(txn: Transaction, kept: Kept, knobs: Knobs) -> Fields:
    """Fields 12 and 13 as the terminal gave them, else when it came to us."""
    moment = local(txn.at_ms, knobs.zone)
    return {12: kept.time or moment.strftime("%H%M%S"), 13: kept.date or moment.strftime("%m%d")}


def _base(txn: Transaction, kept: Kept, root: Transaction | None, stan: Stan) -> Fields:
    return {
        3: kept.process,
        4: f"{txn.amount_minor:012d}",
        11: _trace(stan),
        22: txn.entry_mode,
        25: kept.condition or MATRIX[txn.kind].condition,
        62: invoice_of(txn, root),
    }


def _named(kept: Kept, root: Transaction | None) -> Fields:
    """Fields 37 and 38 of what it refers to: the host's own words, else what the terminal gave."""
    facts = root.facts if root is not None else None
    return {
        37: (facts.rrn if facts else None) or kept.rrn,
        38: (facts.approval_code if facts else None) or (_approval_given(root) if root else "") or kept.approval,
    }


def _approval_given(txn: Transaction) -> str:
    """Of a sale that was agreed by telephone the terminal told the code."""
    return Kept.parse(txn.options).approval


def _transaction(message: fx.SendTransaction, terminal: Terminal, material: Material, knobs: Knobs) -> Message:
    txn = message.transaction
    row, kept, request = MATRIX[txn.kind], Kept.parse(txn.options), material.requests.get(txn.request_id)
    if request is None:
        raise CannotEncode(f"{row.mti}: what the terminal sent is no longer in memory; the terminal must ask again")
    fields: Fields = {number: request.get(number) for number in row.passed_on}
    fields |= _base(txn, kept, message.root if row.refers else None, txn.stan)
    if txn.tip_minor:
        fields[54] = AmountText(txn.tip_minor).format("54")
    if row.refers:
        fields |= _named(kept, message.root)
    if knobs.times == "always":
        fields |= _times(txn, kept, knobs)
    return _message(row.mti, terminal, knobs, fields)


def _card(cards: CardData | None, txn: Transaction, mti: str) -> Fields:
    if cards is None or cards.number is None:
        raise unreadable(mti, "the card number", txn.request_id)
    return {2: cards.number, 14: cards.expiry, 23: cards.sequence}


def _reversal(message: fx.SendReversal, terminal: Terminal, material: Material, knobs: Knobs) -> Message:
    """The request again under its own STAN, with fields 2 and 14 and never 35, 52 or 55 (reference 2.6)."""
    txn = message.transaction
    kept, root = Kept.parse(txn.options), message.original if MATRIX[txn.kind].refers else None
    card = _card(material.cards.get(txn.request_id), txn, "0400")
    fields = _base(txn, kept, None, txn.stan) | card
    if root is not None and not txn.invoice:
        fields[62] = invoice_of(txn, root)
    if knobs.times == "always":
        fields |= _times(txn, kept, knobs)
    mti = f"{knobs.reversal_mti[:3]}1" if message.repeat and knobs.reversal_repeat_digit else knobs.reversal_mti
    return _message(mti, terminal, knobs, fields)


def _advice(message: fx.SendAdvice, terminal: Terminal, material: Material, knobs: Knobs) -> Message:
    """0220, or 0320/940000 for a chip's certificate, from sealed facts (reference 2.3)."""
    txn, root = message.transaction, message.root
    row, kept = MATRIX[txn.kind], Kept.parse(txn.options)
    card = material.cards.get(txn.request_id)
    fields = _base(txn, kept, root if row.refers else None, txn.stan) | _card(card, txn, row.mti)
    fields |= _times(txn, kept, knobs) | (_named(kept, root) if row.refers else {38: kept.approval})
    fields |= {39: kept.code, 55: card.kept_icc if card else None}
    if txn.tip_minor:
        fields[54] = AmountText(txn.tip_minor).format("54")
    if row.tells_original:
        if message.original is None:
            raise CannotEncode(f"{row.mti}: what this {txn.kind} changes is not known")
        fields[60] = AmountText(message.original.counted_minor).format()
    if txn.kind is TxnKind.VOID_NOTICE:
        fields[4] = AmountText(0).format()
    if txn.kind is TxnKind.CERTIFICATE:
        fields |= _certificate(root)
    return _message(row.mti, terminal, knobs, fields)


def _certificate(root: Transaction | None) -> Fields:
    if root is None:
        raise CannotEncode("0320: the transaction of this certificate is not known")
    return {3: CERTIFICATES, 60: _sent_as(root)}


def _sent_as(txn: Transaction) -> str:
    """Field 60 of a 0320: MTI and STAN of what the host has."""
    return Field60Original(MATRIX[txn.kind].mti, txn.stan).format()


def _settlement(code: str, stan: Stan, batch: BatchNumber, totals: Totals, knobs: Knobs) -> Fields:
    """All in one group: sales are its debits, refunds its credits (reference 2.4)."""
    group = totals.domestic
    said = Field63Totals(group.debit_count, group.debit_minor, group.credit_count, group.credit_minor)
    return {3: code, 11: _trace(stan), 60: Field60Batch(batch).format(), 63: said.format(knobs.totals_digits)}


def _upload(message: fx.SendUpload, terminal: Terminal, material: Material, knobs: Knobs) -> Message:
    """One transaction, under a new STAN, as what the host has: of an adjusted one the first, with its amount of now."""
    (txn,) = message.transactions
    first = message.root or txn
    kept, facts = Kept.parse(first.options), first.facts
    card = material.cards.get(txn.request_id)
    process = f"{kept.process[:5]}{MORE_FOLLOWS}" if knobs.more_follows and message.more else kept.process
    fields = _base(first, kept, None, message.stan) | _card(card, txn, "0320") | _host_times(first, kept, knobs)
    fields |= {
        3: process,
        4: f"{txn.counted_minor:012d}",
        37: facts.rrn if facts else kept.rrn,
        38: (facts.approval_code if facts else None) or kept.approval,
        39: kept.code,
        54: AmountText(txn.tip_minor).format("54") if txn.tip_minor else None,
        55: card.kept_icc if card else None,
        60: _sent_as(first),
    }
    return _message("0320", terminal, knobs, fields)


def _host_times(txn: Transaction, kept: Kept, knobs: Knobs) -> Fields:
    """The host's own time of it, where it told one."""
    facts = txn.facts
    if txn.kind in TOLD or facts is None or not facts.host_time or not facts.host_date:
        return _times(txn, kept, knobs)
    return {12: facts.host_time, 13: facts.host_date}
