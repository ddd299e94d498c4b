"""Field 55, field 62 of chip details, and the result of issuer scripts: what goes on, is kept, is told again
(reference 1.3, 1.7, 1.10).

What is kept of a chip are the tags that are known to hold no card data (P5): nothing else is ever told again.
"""

from collections.abc import Iterable

from posd.core import events as e
from posd.core.rules import TxnKind
from posd.core.state import ChipEnd, ChipResult, Transaction
from posd.errors import CannotEncode, MalformedMessage
from posd.iso8583.message import Message
from posd.iso8583.subfields import Field60, Field61
from posd.iso8583.tlv import build
from posd.profiles.contract import ReadRequest
from posd.profiles.packing import unreadable
from posd.profiles.reading import elements, kept_icc, need, trace
from posd.profiles.unionpay.data import CURRENCY, MATRIX, SCRIPT_NOTICE
from posd.security.cards import CardData, keyed_digest
from posd.values import Minor, RequestId, Stan

REVERSAL_TAGS = ("95", "9F1E", "9F10", "9F36", "DF31")
"""Field 55 of a 0400 (reference 1.10)."""

CRYPTOGRAM_KIND = "9F27"
RESPONSE_CODE, OFFLINE_APPROVED = "8A", b"Y1"
ISSUER_DATA = "9F10"
CVR_AT, CVR_BYTES = 3, 3
"""In tag 9F10, after length, key index and version: the card verification results, length first."""

CRYPTOGRAM_BITS = 0xC0
ACCEPTED, REFUSED = bytes.fromhex("40"), bytes.fromhex("00")
"""Tag 9F27: the chip ended with a TC, or with an AAC."""

CHIP_DETAILS = frozenset({"203", "204", "205", "206"})
DOMESTIC, FOREIGN = "00", "01"
REFUSED_CODE, UNPROVEN_CODE = "11", "05"
APPROVED_CHARS, FAILED_CHARS = 21, 23

RESULT_OF = {REFUSED_CODE: ChipResult.REFUSED, "13": ChipResult.REFUSED, UNPROVEN_CODE: ChipResult.UNPROVEN}
"""Field 62 of record type 6: why it failed."""

ENDS = {ChipResult.REFUSED: "10", ChipResult.UNPROVEN: "21"}
"""The last two characters of it: 1 AAC or 2 ARPC, and the result of the ARPC."""


def in_reversal(kept: str | None, told: str) -> str | None:
    """Field 55 of a 0400: what the terminal told last, else what its request said."""
    tags = dict(elements(kept)) | dict(elements(told))
    return _hex((tag, tags[tag]) for tag in REVERSAL_TAGS if tag in tags)


def told_in_reversal(message: Message) -> str:
    """What a terminal's own 0400 tells of its chip; a field 55 that cannot be read must not be in its way."""
    return in_reversal(message.get(55), "") or ""


def says_refused(message: Message) -> bool:
    """Whether field 55 of a terminal's own 0400 says that the chip ended with a refusal (AAC).

    9F27 says so itself, where a terminal sends it; of the tags that belong in a 0400 it is 9F10: byte 5 begins with the
    kind of the second cryptogram, 00 for an AAC, 10 for none asked yet [L: PBOC, the reference names the tag only].
    """
    tags = dict(elements(message.get(55)))
    kind, issuer = tags.get(CRYPTOGRAM_KIND), tags.get(ISSUER_DATA, b"")
    if kind:
        return kind[0] & CRYPTOGRAM_BITS == REFUSED[0]
    return len(issuer) > CVR_AT + 1 and issuer[CVR_AT] == CVR_BYTES and issuer[CVR_AT + 1] & CRYPTOGRAM_BITS == 0


def final(kept: str | None, txn: Transaction, result: ChipResult) -> str:
    """Field 55 of a chip detail: the request's, with the chip's last words where its terminal told them.

    Where it did not, the cryptogram is the request's own: nobody else saw the last one.
    """
    tags = dict(elements(kept)) | dict(elements(txn.chip_end.icc if txn.chip_end is not None else None))
    if not tags:
        raise unreadable("0320", "what the chip", txn.request_id)
    tags[CRYPTOGRAM_KIND] = REFUSED if result is ChipResult.REFUSED else ACCEPTED
    return _hex(tags.items()) or ""


def approved_offline(kept: str | None) -> str:
    """Field 55 of the record of a sale by electronic cash: it says that nobody on line approved it (record type 2)."""
    tags = dict(elements(kept))
    tags.setdefault(RESPONSE_CODE, OFFLINE_APPROVED)
    return _hex(tags.items()) or ""


def code_of(result: ChipResult, balanced: bool) -> str:
    """Field 60.3 of a chip detail (reference 1.3)."""
    if result is ChipResult.ACCEPTED:
        return "203" if balanced else "205"
    return "204" if balanced else "206"


def detail(txn: Transaction, result: ChipResult) -> str:
    """Field 62 of a chip detail, as hexadecimal."""
    group = FOREIGN if txn.foreign else DOMESTIC
    amount = f"{txn.counted_minor:012d}{CURRENCY}"
    if result is ChipResult.ACCEPTED:
        return f"61{group}00{amount}".encode().hex().upper()
    usual = REFUSED_CODE if result is ChipResult.REFUSED else UNPROVEN_CODE
    told = txn.chip_end.code if txn.chip_end is not None and txn.chip_end.result is result else usual
    return f"71{group}{told}{amount}{ENDS[result]}".encode().hex().upper()


def told_end(message: Message) -> tuple[ChipEnd, bool]:
    """How a chip ended, of a terminal's own 0320 with a chip detail, and whether in the foreign group.

    Raises MalformedMessage naming the field.
    """
    text = bytes.fromhex(need(message, 62)).decode("latin-1")
    head, code = text[:2], text[4:6]
    shape = (head, len(text))
    if not (text.isascii() and text.isdigit()) or shape not in (("61", APPROVED_CHARS), ("71", FAILED_CHARS)):
        raise MalformedMessage(f"{len(text)} characters that are no chip detail", field="62")
    result = ChipResult.ACCEPTED if head == "61" else RESULT_OF.get(code)
    if result is None:
        raise MalformedMessage("an unknown kind of failed chip detail", field="62")
    return ChipEnd(result, code, kept_icc(message.get(55)) or ""), text[2:4] == FOREIGN


# --- issuer scripts --------------------------------------------------------------------------------------------------


def script_notice(message: Message, tid: str, digest_key: bytes, reply_to: str, received_s: float) -> ReadRequest:
    """A terminal's 0620: what an issuer's script did to its chip. Raises MalformedMessage naming the field."""
    field_60, named = Field60.parse(need(message, 60)), Field61.parse(need(message, 61))
    if field_60.code != SCRIPT_NOTICE:
        raise MalformedMessage(f"60.3 of a 0620 is {SCRIPT_NOTICE}", field="60.3")
    need(message, 55)
    number, amount = message.get(2), int(message.get(4) or "0")
    card = CardData(
        pan=number,
        expiry=message.get(14),
        sequence=message.get(23),
        kept_icc=kept_icc(message.get(55)),
        entry_mode=need(message, 22),
    )
    digest = keyed_digest(digest_key, number or "")
    event = e.TransactionRequested(
        request_id=RequestId(f"{tid}/{field_60.batch:06d}/{trace(message):06d}/{message.mti}/{need(message, 3)}"),
        kind=TxnKind.SCRIPT_RESULT,
        amount_minor=Minor(amount),
        terminal_batch=field_60.batch,
        terminal_stan=trace(message),
        fingerprint=f"{amount}:{digest}:{named.batch:06d}{named.stan:06d}",
        entry_mode=need(message, 22),
        card=card.reference(digest_key),
        original=e.OriginalPointer(message.get(37), named.batch, Stan(named.stan)),
        has_pin=message.get(52) is not None,
        reply_to=reply_to,
        received_s=received_s,
    )
    return ReadRequest(event, card)


def script_fields(txn: Transaction, original: Transaction | None, card: CardData) -> dict[int, str]:
    """The 0620 to the host, but for fields 41 and 42: its original by our own batch and trace (reference 1.3, 1.4)."""
    if original is None:
        raise CannotEncode("0620: the transaction that brought the script is no longer known")
    row, facts = MATRIX[original.kind], original.facts
    date = facts.host_date if facts is not None else None
    fields = {
        2: card.number,
        3: row.processing_code,
        4: f"{txn.amount_minor:012d}" if txn.amount_minor else None,
        11: f"{txn.stan:06d}",
        14: card.expiry,
        22: txn.entry_mode,
        23: card.sequence,
        25: row.condition_code,
        37: facts.rrn if facts is not None else None,
        38: facts.approval_code if facts is not None else None,
        49: CURRENCY,
        55: card.kept_icc,
        60: Field60("00", txn.batch_number, SCRIPT_NOTICE).format(),
        61: Field61(original.batch_number, original.stan, date or "0000").format(),
    }
    return {field: value for field, value in fields.items() if value}


def _hex(tags: Iterable[tuple[str, bytes]]) -> str | None:
    return build(tags).hex().upper() or None
