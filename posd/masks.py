"""How much of a card number is ever shown: the one mask of all that show, log or journal one.

A mask that is not sure shows nothing. PCI DSS 3.4.1 allows the BIN and the last four digits at most; BINs have six
digits, and eight where the setting says so. It must never show enough that the rest could be tried out.
"""

PAN_DIGITS_MIN, PAN_DIGITS_MAX = 12, 19
SHOWN_LAST = 4
HIDDEN_MIN = 4
"""So many digits at least are hidden, in short numbers at the cost of the first ones."""
EIGHT_FROM = 16
"""Shorter numbers have no 8-digit BIN (PCI SSC FAQ 1091)."""


class _Shown:
    """The setting `cards.bin_digits`, for the whole process: what is shown anywhere is shown so everywhere."""

    first = 6


def show_bin(digits: int) -> None:
    """Set once, at the start; 6 until then."""
    if digits not in (6, 8):
        raise ValueError("a BIN has 6 or 8 digits")
    _Shown.first = digits


def mask_pan(pan: str) -> str:
    """`622588******6789`; stars only for what is no card number: shorter than 12 digits, longer than 19, no digits."""
    count = len(pan)
    if not PAN_DIGITS_MIN <= count <= PAN_DIGITS_MAX or not (pan.isascii() and pan.isdigit()):
        return "*" * count
    first = min(_Shown.first if count >= EIGHT_FROM else 6, count - SHOWN_LAST - HIDDEN_MIN)
    return pan[:first] + "*" * (count - first - SHOWN_LAST) + pan[-SHOWN_LAST:]
