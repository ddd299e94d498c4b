"""May it be approved? Kinds without an original: sale, pre-authorisation, balance, refund, offline, loads (1.8).

Decides only; what an approval moves is said by `effect`, and financial.py books it.
"""

from dataclasses import dataclass

from simulators.crypto import pin_of
from simulators.host.books import Card, Entry, EntryState
from simulators.host.kinds import Kind, Row
from simulators.host.request import APPROVE_CODES, APPROVED, Request

PARTIAL = "10"
PARTIAL_ASKED = "1"
PARTIAL_AT = 2
SPENDING = frozenset({Kind.SALE, Kind.PREAUTH, Kind.EC_LOAD, Kind.EC_TRANSFER_LOAD})
WITHOUT_CARDHOLDER = frozenset({Kind.REFUND, Kind.EC_REFUND, Kind.OFFLINE_SALE, Kind.EC_SALE, Kind.EC_CASH_LOAD})
"""Kinds whose PIN is not looked at."""

CAN_BE_PARTIAL = frozenset({Kind.SALE, Kind.PREAUTH})


@dataclass(frozen=True, slots=True, repr=False)
class Decision:
    """A code and, when money moves, how much and against which original."""

    code: str
    amount_minor: int = 0
    original: Entry | None = None

    @property
    def approved(self) -> bool:
        return self.code in APPROVE_CODES


@dataclass(frozen=True, slots=True)
class Effect:
    """What an approval adds to the card's balance and purse, and what its original becomes."""

    balance_minor: int = 0
    purse_minor: int = 0
    becomes: EntryState | None = None


def by_card(request: Request, row: Row) -> Decision:
    """Decide a request that stands for itself."""
    card = request.books.cards.get(request.pan)
    if card is None:
        return Decision("14")
    if not row.advice and _expired(request, card):
        return Decision("54")
    if row.kind not in WITHOUT_CARDHOLDER and not _pin_fits(request, card):
        return Decision("55")
    yes = APPROVED if row.kind is Kind.BALANCE else card.settings.approve_code
    if row.kind in SPENDING and request.amount_minor > card.balance_minor:
        return _short(request, row, card)
    return Decision(yes, request.amount_minor)


def effect(kind: Kind, decision: Decision) -> Effect:
    """The money of an approval (1.6, 1.8)."""
    amount, original = decision.amount_minor, decision.original
    match kind:
        case Kind.SALE | Kind.PREAUTH | Kind.OFFLINE_SALE:
            return Effect(-amount)
        case Kind.REFUND | Kind.EC_REFUND:
            return Effect(amount)
        case Kind.EC_SALE:
            return Effect(0, -amount)
        case Kind.EC_LOAD | Kind.EC_TRANSFER_LOAD:
            return Effect(-amount, amount)
        case Kind.EC_CASH_LOAD:
            return Effect(0, amount)
        case Kind.SALE_VOID:
            return Effect(amount, 0, EntryState.VOIDED)
        case _ if original is not None:
            return _in_place_of(kind, amount, original)
        case _:
            return Effect()


def _in_place_of(kind: Kind, amount: int, original: Entry) -> Effect:
    """Voids give back what the original moved; completions and adjustments then take the new amount."""
    match kind:
        case Kind.COMPLETION | Kind.COMPLETION_NOTICE:
            return Effect(-original.moved_minor - amount, 0, EntryState.COMPLETED)
        case Kind.ADJUST | Kind.TIP:
            return Effect(original.amount_minor - amount, 0, EntryState.ADJUSTED)
        case _:
            return Effect(-original.moved_minor, -original.purse_minor, EntryState.VOIDED)


def _short(request: Request, row: Row, card: Card) -> Decision:
    """Not enough money: 51, or what is left with 10 where this card and the terminal allow it (D15)."""
    asked = request.field60.rest[PARTIAL_AT : PARTIAL_AT + 1] == PARTIAL_ASKED
    allowed = card.settings.partial == "always" or (card.settings.partial == "asked" and asked)
    if allowed and row.kind in CAN_BE_PARTIAL and card.balance_minor > 0:
        return Decision(PARTIAL, card.balance_minor)
    return Decision("51")


def _expired(request: Request, card: Card) -> bool:
    track = (request.message.get(35) or "").partition("=")[2][:4]
    shown = request.message.get(14) or track
    known = card.settings.expiry
    return (known is not None and shown not in ("", known)) or ((known or shown or "9912") < request.clock.yymm)


def _pin_fits(request: Request, card: Card) -> bool:
    """The PIN block is opaque unless the card has a PIN configured."""
    keys, block = request.terminal.keys, request.message.get(52)
    if card.settings.pin is None or keys is None:
        return True
    return block is not None and pin_of(keys.pik, bytes.fromhex(block), request.pan) == card.settings.pin
