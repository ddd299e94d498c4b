"""The names of transactions at the JSON door: an Idempotency-Key, or a terminal's request id with ~ for /."""

import re

from posd.daemon.till.orders import OWN_IDS, till_request
from posd.daemon.till.schema import ID_PATTERN, KEY_PATTERN
from posd.values import RequestId, Tid

_KEY, _ID = re.compile(KEY_PATTERN[:-1] + r"\Z"), re.compile(ID_PATTERN[:-1] + r"\Z")
_CARD_LIKE = re.compile(
    r"(?<![0-9A-Za-z])[0-9]{13,19}(?![0-9A-Za-z])"
    r"|(?<![0-9A-Za-z._-])[0-9]{4}([ ._-])(?:[0-9]{4}\1[0-9]{4}\1[0-9]{1,4}(?:\1[0-9]{1,3})?|[0-9]{6}\1[0-9]{4,5})"
    r"(?![0-9A-Za-z])"
)
"""A number that stands alone, or in the groups in which it is printed on a card; the digits of a UUID do not."""


def key_of(header: str) -> str | None:
    """The key in an Idempotency-Key header, with or without quotes; None: it is none."""
    text = header.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    return text if _KEY.match(text) else None


def looks_like_card(text: str) -> bool:
    """Whether this name would put a card number into the journal in the clear."""
    return _CARD_LIKE.search(text) is not None


def holds_number(text: str, number: str) -> bool:
    """Whether this very card number stands in it, however its digits are set apart."""
    return number in re.sub("[^0-9]", "", text)


def till_id(tid: str, request_id: str) -> str:
    """'10000001/-till/sale-1' -> 'sale-1'; '10000001/000001/000005/0200/000000' -> '000001~000005~0200~000000'."""
    rest = request_id.removeprefix(f"{tid}/")
    own = f"{OWN_IDS}/"
    return rest.removeprefix(own) if rest.startswith(own) else rest.replace("/", "~")


def request_of_id(tid: Tid, name: str) -> RequestId | None:
    """The other way round; None: this can be no name. No name of ours looks like a card number, and none is kept."""
    if not _ID.match(name) or looks_like_card(name):
        return None
    return RequestId(f"{tid}/{name.replace('~', '/')}") if "~" in name else till_request(tid, name)
