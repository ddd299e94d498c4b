"""`posd settle`: close the batch now and watch, approve one that is held (D23), or say what a person found out about an
unconfirmed one (D20).

Watching is all it does after the first word: leaving cancels nothing. Exit status 0 when every batch is closed in
agreement, 1 when one is not.
"""

import sys
from pathlib import Path
from typing import Any

from posd.cli import exit_status
from posd.cli.asking import command, settings_at
from posd.cli.lang import Lang
from posd.cli.proposals import said_status
from posd.cli.reason_words import reason
from posd.cli.screen import paint, print_json, printable
from posd.cli.speech import doing, outcome, say
from posd.cli.status import amount
from posd.daemon.shown.views import View
from posd.errors import ConfigError

DECISIONS = {"closed": True, "open": False}


def settle_command(config: Path, tid: str | None, by: str | None, as_json: bool, lang: Lang) -> int:
    """Settle one terminal or all, showing each phase on standard error."""
    settings = settings_at(config, tid)
    asked: dict[str, Any] = {"by": by, "tid": tid}
    try:
        said = command(settings, "settle", asked, lambda line: _tell(line, lang))
    except KeyboardInterrupt:
        print(f"posd: {say(lang, 'leaving')}", file=sys.stderr)
        raise
    if as_json:
        print_json(said)
    else:
        for terminal in said["terminals"]:
            print(paint(_ended(terminal, lang), "green" if terminal["good"] else "red"))
    return exit_status.GOOD if said["good"] else exit_status.FINDINGS


def decide_command(
    config: Path, tid: str | None, decision: str, by: str | None, reason: str | None, as_json: bool
) -> int:
    """Say whether the host closed the unconfirmed batch of `tid`: 'closed' or 'open', by whom and why."""
    if decision not in DECISIONS:
        raise ConfigError("settle: --decide takes 'closed' (the host closed the batch) or 'open' (it did not)")
    if not (reason or "").strip():
        raise ConfigError("settle: --decide needs --reason TEXT: how it was found out")
    settings = settings_at(config, tid)
    asked = {"closed": DECISIONS[decision], "by": by, "reason": reason, **({"tid": tid} if tid else {})}
    said = command(settings, "settle.decide", asked)
    if as_json:
        print_json(said)
    else:
        print(f"terminal {said['tid']}: {printable(said['text'])}")
    return said_status(said)


def approve_command(
    config: Path,
    tid: str | None,
    batch: int | None,
    up_to: str | None,
    by: str | None,
    reason: str | None,
    as_json: bool,
) -> int:
    """Let a settlement that is held above the maximum begin, by whom and why (D23)."""
    if not (reason or "").strip():
        raise ConfigError("settle: --approve needs --reason TEXT: why it may go on")
    settings = settings_at(config, tid)
    given: dict[str, Any] = {"tid": tid, "batch": batch, "up_to": up_to, "by": by, "reason": reason}
    said = command(settings, "settle.approve", given)
    if as_json:
        print_json(said)
    else:
        print(f"terminal {said['tid']}: {printable(said['text'])}")
    return said_status(said)


def _tell(line: View, lang: Lang) -> None:
    text = doing(lang, line)
    if line["phase"] == "uploading" and line["items"]:
        text = say(lang, "uploaded", text=text, done=line["uploaded"], all=line["items"])
    if line["still"]:
        text = say(lang, "still", text=text)
    print(f"{line['tid']}: {printable(text)}", file=sys.stderr, flush=True)


def _ended(terminal: View, lang: Lang) -> str:
    close = terminal["close"]
    if close is None:
        name = terminal["outcome"] if terminal["outcome"] in ("nothing", "postponed", "held", "waits") else "refused"
        return printable(say(lang, name, tid=terminal["tid"], reason=reason(lang, terminal["reason"])))
    text = outcome(lang, close)
    if close["carried_over"]:
        text = f"{text}; {say(lang, 'carried_over', count=close['carried_over'])}"
    debit, credit = (amount(close["totals"], side, lang) for side in ("debit", "credit"))
    facts = {"batch": close["batch"], "text": text, "debit": debit, "credit": credit, "next": terminal["next_batch"]}
    return printable(say(lang, "settled", tid=terminal["tid"], **facts))
