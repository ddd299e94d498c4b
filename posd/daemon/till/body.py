"""The body of a till's request: bytes to one of the shapes of till_schema, or a refusal that says where it is wrong.

Total: any bytes give an order or `BadBody`. No text here repeats a value: it could be a card number.
"""

import json
from typing import Any, NoReturn, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from posd.daemon.logmask import mask_text, one_line
from posd.daemon.till.schema import ORDERS, AnyOrder, Card, CompletionOrder, PreauthVoidOrder, RefundOrder, SaleOrder
from posd.errors import PosdError

MEMBER_CHARACTERS_MAX = 40
"""So much of an unknown member's name is repeated, masked."""

TYPES = [str(shape.__struct_config__.tag) for shape in ORDERS]

HINTS = {
    "amount": 'write an amount as text with two decimals, like "12.30", and more than zero',
    "tip": 'write an amount as text with two decimals, like "1.50", and more than zero',
    "type": f"write one of {', '.join(TYPES)}",
    "number": "12 to 19 digits, as text",
    "expiry": "YYMM, as text",
    "original": "the id of the transaction that is meant, as this door gave it",
    "reference": "1 to 64 visible ASCII characters",
    "rrn": "12 letters or digits, as on the receipt",
    "date": "MMDD, as text",
    "approval_code": "6 letters or digits",
}

Shape = TypeVar("Shape")


class BadBody(PosdError):
    """`readable`: JSON, but not what is wanted here (422), else no JSON (400). `where`: '$.card.number'."""

    def __init__(self, text: str, where: str = "$", *, readable: bool = True) -> None:
        super().__init__(text)
        self.where, self.readable = where, readable


def read_order(body: bytes) -> AnyOrder:
    """A sale, void or refund. Raises BadBody."""
    order: AnyOrder = _convert(_parse(body), AnyOrder)
    _consistent(order)
    return order


def read_empty(body: bytes, shape: type[Shape]) -> Shape:
    """A body that has nothing to say: no bytes, or an empty object. Raises BadBody."""
    empty: Shape = _convert(_parse(body) if body else {}, shape)
    return empty


def cards_in(order: AnyOrder) -> Card | None:
    """The card that it brings."""
    card = getattr(order, "card", UNSET)
    return card if isinstance(card, Card) else None


def canonical(order: Struct) -> bytes:
    """The same bytes for the same order, however it was written; they hold the card number: digest them only."""
    return msgspec.json.encode(order, order="sorted")


def minor_of(amount: str) -> int:
    """'12.30' -> 1230; for what has passed AMOUNT_PATTERN."""
    whole, _, cents = amount.partition(".")
    return int(whole) * 100 + int(cents)


def _parse(body: bytes) -> Any:
    try:
        text = body.decode("utf-8")
        return json.loads(
            text, object_pairs_hook=_members, parse_constant=_no_number, parse_int=_a_number, parse_float=_a_number
        )
    except UnicodeDecodeError as error:
        raise BadBody(f"byte {error.start} is not UTF-8", readable=False) from None
    except RecursionError:
        raise BadBody("it is nested too deeply; no order is deeper than two objects", readable=False) from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise BadBody(f"it is not JSON ({where}); send one JSON object", readable=False) from None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object: each name once, and texts in one line, or two readers could read two orders."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise BadBody(f"the member {_shown(name)} stands there twice; keep one", readable=False)
        if isinstance(value, str) and not (value.isprintable() and value.isascii()):
            raise BadBody(f"the member {_shown(name)} has characters other than visible ASCII", f"$…{_shown(name)}")
        found[name] = value
    return found


def _no_number(text: str) -> NoReturn:
    raise BadBody(f'{text} is no number in JSON; amounts are text like "12.30"', readable=False)


def _a_number(text: str) -> int:
    """No member is a number, so its value does not matter, however long it is."""
    return 0


def _convert(value: Any, shape: Any) -> Any:
    try:
        return msgspec.convert(value, shape, strict=True)
    except msgspec.ValidationError as error:
        text, _, where = str(error).partition(" - at `")
        where = where.rstrip("`") or "$"
        raise BadBody(_taught(text, where), where) from None


def _taught(text: str, where: str) -> str:
    """msgspec's own words without values, and what to write instead."""
    member = where.rpartition(".")[2]
    if "unknown field" in text:
        name = text.partition("`")[2].rstrip("`")
        return f"unknown member {_shown(name)}; leave it out, or see /v1/openapi.json"
    if "missing required field" in text:
        name = text.rpartition("field ")[2].strip("`")
        return f"the member {name!r} is missing{': ' + HINTS[name] if name in HINTS else ''}"
    if "Invalid value" in text:
        text = "it has none of the values that are known here"
    elif "matching regex" in text:
        text = "it is not written as it should be"
    else:
        text = text.replace("Expected", "expected").replace("`", "")
    return f"{text}; {HINTS[member]}" if member in HINTS else f"{text}; see /v1/openapi.json"


def _shown(name: str) -> str:
    return repr(one_line(mask_text(name[:MEMBER_CHARACTERS_MAX])))


def _consistent(order: AnyOrder) -> None:
    """What several members say together."""
    if isinstance(order, SaleOrder) and isinstance(order.tip, str) and minor_of(order.tip) >= minor_of(order.amount):
        raise BadBody("the tip is a part of the amount, so it must be less; charge both in 'amount'", "$.tip")
    name = "sale" if isinstance(order, RefundOrder) else "preauth"
    if isinstance(order, RefundOrder | CompletionOrder | PreauthVoidOrder):
        known = not isinstance(order.original, UnsetType)
        named = [isinstance(getattr(order, member), Struct) for member in (name, "card")]
        if known and any(named):
            raise BadBody(f"'original' says all: leave '{name}' and 'card' out", "$.original")
        if not known and not all(named):
            raise BadBody(f"name what is meant: 'original' alone, or '{name}' together with 'card'", "$.original")
        if not known and isinstance(order.amount, UnsetType):
            raise BadBody("the amount that is held is not known here: give 'amount'", "$.amount")
