"""What a fence catches: errors that only a bug of ours can raise while one terminal's item is lived through (D4).

A bug that one terminal's bytes can reach must not stop the others, nor come again with the same bytes after every
restart: that terminal is fenced, the rest goes on. What is no bug is not caught: StorageFailed ends the process (P3).
"""

from posd.daemon.logmask import mask_foreign, one_line
from posd.errors import CannotEncode, KeyTrouble, MalformedMessage

BUGS = (
    ArithmeticError,
    AssertionError,  # InvariantBroken is one
    AttributeError,
    LookupError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
    CannotEncode,  # these three have their own roads; whoever meets one elsewhere has forgotten it
    KeyTrouble,
    MalformedMessage,
)


def because(error: Exception) -> str:
    """Why a fence stands, safe to show: only our own assertions are meant to say nothing of a card, and are masked."""
    kind = type(error).__name__
    said = one_line(mask_foreign(str(error))) if isinstance(error, AssertionError) else f"unexpected {kind}"
    return said or kind
