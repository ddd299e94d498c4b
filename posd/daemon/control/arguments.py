"""The verbs that change something, and what their arguments must be.

Checked by the command line before it asks, so that misuse is misuse whether a daemon runs or not, and by the daemon
again, which trusts nobody.
"""

import re
from collections.abc import Mapping
from typing import Any

from posd.daemon.logmask import mask_text
from posd.daemon.shown.questions import checked
from posd.errors import ConfigError
from posd.values import BATCH_NUMBER_MAX, BatchNumber

COMMANDS: Mapping[str, Mapping[str, type]] = {
    "reversals.retry": {"id": str, "tid": str, "by": str},
    "reversals.resolve": {"id": str, "by": str, "reason": str},
    "advices.retry": {"id": str, "tid": str, "by": str},
    "advices.resolve": {"id": str, "by": str, "reason": str},
    "txn.resolve": {"id": str, "happened": bool, "by": str, "reason": str},
    "settle": {"tid": str, "by": str},
    "settle.decide": {"tid": str, "closed": bool, "by": str, "reason": str},
    "gap.admit": {"tid": str, "terminal_stan": int, "batch": int, "by": str, "reason": str},
    "gap.resolve": {"tid": str, "by": str, "reason": str},
    "settle.approve": {"tid": str, "batch": int, "up_to": str, "by": str, "reason": str},
    "journal.archive": {"before": str, "by": str},
    "terminal.download": {"tid": str, "by": str},
    "terminal.batch": {"tid": str, "number": int, "by": str, "reason": str},
    "proposals.withdraw": {"id": str, "by": str, "reason": str},
}
"""Verb -> its arguments."""

NAME_CHARACTERS_MAX = 64
REASON_CHARACTERS_MAX = 500


def require_good(verb: str, args: Mapping[str, Any]) -> Mapping[str, Any]:
    """`args` of one of COMMANDS without the absent ones. Raises ConfigError for what no daemon could do either."""
    given = checked(verb, args, COMMANDS[verb])
    if "reason" in COMMANDS[verb]:
        why(verb, given)
    if "by" in given:
        who(verb, given)
    if "number" in COMMANDS[verb]:
        a_batch_number(verb, given)
    amount(verb, "up_to", given)
    return given


def amount(verb: str, name: str, given: Mapping[str, Any]) -> int | None:
    """An amount in minor units; None: not given. Raises ConfigError."""
    if name not in given:
        return None
    match = re.fullmatch(r"([0-9]{1,10})(?:\.([0-9]{2}))?", given[name], re.ASCII)
    if match is None:
        raise ConfigError(f"{verb}: {name!r} must be an amount; write it with two decimals, as 80000.00")
    return int(match[1]) * 100 + int(match[2] or 0)


def who(verb: str, given: Mapping[str, Any]) -> str:
    """The name of the person who wants it. Raises ConfigError."""
    return text_of(verb, "by", given, NAME_CHARACTERS_MAX, "the name of the person who decides")


def why(verb: str, given: Mapping[str, Any]) -> str:
    """The person's reason. Raises ConfigError."""
    return text_of(verb, "reason", given, REASON_CHARACTERS_MAX, "why, in words that an auditor understands")


def a_batch_number(verb: str, given: Mapping[str, Any]) -> BatchNumber:
    """The number that an open batch shall have. Raises ConfigError."""
    number = given.get("number", 0)
    if not 1 <= number <= BATCH_NUMBER_MAX:
        raise ConfigError(f"{verb}: 'number' must be a batch number, 1 to {BATCH_NUMBER_MAX}")
    return BatchNumber(number)


def text_of(verb: str, name: str, given: Mapping[str, Any], longest: int, what: str) -> str:
    """A text that will be kept for ever: one line, not empty, never a card number. Raises ConfigError."""
    text = str(given.get(name, "")).strip()
    if not text:
        raise ConfigError(f"{verb}: {name!r} is missing: {what}")
    if len(text) > longest or not text.isprintable():
        raise ConfigError(f"{verb}: {name!r} must be one line of at most {longest} characters")
    if mask_text(text) != text:
        raise ConfigError(f"{verb}: {name!r} looks as if it held a card number; leave it out")
    return text
