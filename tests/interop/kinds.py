"""Every kind of message that a profile writes, by name: derived from the core's vocabulary and the profile's rules.

A kind that is added to either is in here by itself, and then wants a message in `written.py` and a row in
ARCHITECTURE.md.
"""

import re
from collections.abc import Mapping
from typing import get_args

from posd.core import effects as fx
from posd.core.rules import KindRules, TxnKind, Upload

TRANSACTIONAL = (fx.SendTransaction, fx.SendAdvice, fx.SendReversal, fx.SendUpload)


def to_host(kinds: Mapping[TxnKind, KindRules]) -> list[str]:
    """What leaves for the host: "sale request", "tip advice", "void reversal", "refund upload", "sign in"."""
    names = [name for kind, rules in kinds.items() for name in _of(kind, rules)]
    return names + [words(cls) for cls in get_args(fx.HostMessage) if cls not in TRANSACTIONAL]


def _of(kind: TxnKind, rules: KindRules) -> list[str]:
    names = [f"{kind} advice" if rules.advice else f"{kind} request"]
    names += [f"{kind} reversal"] if rules.reversible else []
    return names + ([f"{kind} upload"] if rules.upload is not Upload.NONE else [])


def to_terminal(kinds: Mapping[TxnKind, KindRules]) -> list[str]:
    """What is answered to a terminal: by transaction, and by what the answer says."""
    answers = get_args(fx.ToTerminal.__annotations__["answer"])
    return [f"answer to {kind}" for kind in kinds] + [f"answer: {words(cls)}" for cls in answers]


def words(cls: type) -> str:
    """SendSignIn: "sign in"; TotalsResult: "totals result"."""
    parts = re.findall(r"[A-Z][a-z]*", cls.__name__.removeprefix("Send"))
    return " ".join(parts).lower()
