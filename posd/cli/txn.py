"""`posd txn list | show`: transactions as the books have them, of any age, masked.

What the daemon remembers comes from it; one batch by its number, and what is older, from the journal.
"""

from pathlib import Path
from typing import Any

from posd.cli import exit_status
from posd.cli.asking import ask, command, open_journal, settings_at
from posd.cli.journal import summary
from posd.cli.reversals import last_answer
from posd.cli.screen import note, pairs, print_json, printable, table
from posd.cli.status import moment
from posd.daemon.settlement_report import signed
from posd.daemon.views import View
from posd.errors import ConfigError, PosdError
from posd.settings import Settings
from posd.values import format_amount

HEADS = ("AT", "TRANSACTION", "KIND", "AMOUNT", "CARD", "STATUS", "CODE", "RRN", "STAN", "BATCH")
HAPPENED = {"yes": True, "no": False}
COLOURS = {
    "unknown": "red",
    "in_doubt": "red",
    "not_done": "yellow",
    "stored": "yellow",
    "refused": "red",
    "cancelled": "yellow",
    "not_sent": "yellow",
    "sent": "yellow",
    "reversed": "yellow",
    "resolved": "yellow",
}


def list_command(
    config: Path, tid: str | None, batch: int | None, status: str | None, limit: int | None, as_json: bool
) -> int:
    """The transactions that fit, oldest first."""
    settings = settings_at(config, tid)
    asked = {"tid": tid, "batch": batch, "status": status, "limit": limit}
    if batch is None:
        said = ask(settings, "txn.list", asked)
    else:
        with open_journal(settings) as journal:
            said = journal.of_batch(asked)
    if as_json:
        print_json(said)
        return exit_status.GOOD
    found = said["transactions"]
    if not found:
        print("No transaction fits.")
        return exit_status.GOOD
    print(table(HEADS, map(_row, found), right=(3, 8), colours=[COLOURS.get(txn["status"], "") for txn in found]))
    if said["left_out"]:
        note(f"{said['left_out']} older ones are left out; narrow it with --tid, --batch or --status")
    return exit_status.GOOD


def _row(txn: View) -> list[str]:
    return [
        moment(txn["at"], seconds=True),
        txn["request_id"],
        txn["kind"],
        txn["amount"],
        txn["card"] or "",
        txn["status"],
        txn["code"] or "",
        txn["rrn"] or "",
        f"{txn['stan']:06d}",
        f"{txn['batch']:06d}",
    ]


def show_command(config: Path, name: str, as_json: bool) -> int:
    """One transaction with its reversal, and what the journal has of it."""
    settings = settings_at(config)
    txn = ask(settings, "txn.show", {"id": name})["transaction"] or _older(settings, name)
    history = _history(settings, txn["request_id"])
    if as_json:
        print_json({"transaction": txn, "history": history})
        return exit_status.GOOD
    print(pairs(_lines(txn)))
    if txn["reversal"]:
        print(f"\nReversal\n{pairs(_reversal_lines(txn['reversal']))}")
    if history:
        print(f"\nHistory\n{table(*summary(history))}")
    return exit_status.GOOD


def resolve_command(config: Path, name: str, happened: str, by: str, reason: str, as_json: bool) -> int:
    """A person says whether a refund in doubt happened: who, and why (D13)."""
    if happened not in HAPPENED:
        raise ConfigError(f"txn resolve: --happened is {' or '.join(HAPPENED)}")
    asked = {"id": name, "happened": HAPPENED[happened], "by": by, "reason": reason}
    said = command(settings_at(config), "txn.resolve", asked)
    if as_json:
        print_json(said)
    else:
        print(printable(f"{said['request_id']}: {said['text']}"))
    return exit_status.GOOD


def _older(settings: Settings, name: str) -> View:
    with open_journal(settings) as journal:
        found: View = journal.show(name)["transaction"]
        return found


def _history(settings: Settings, request_id: str) -> list[dict[str, Any]]:
    """Empty, and said so, when this user may not read the journal: the transaction itself is known."""
    try:
        with open_journal(settings) as journal:
            return journal.timeline(request_id)
    except PosdError as error:
        note(f"its history is not shown: {error}")
        return []


def _lines(txn: View) -> list[tuple[str, str]]:
    given = {True: "yes", False: "not known yet", None: ""}[txn["given_to_terminal"]]
    return [
        ("transaction", txn["request_id"]),
        ("terminal", txn["tid"]),
        ("kind", txn["kind"]),
        ("amount", txn["amount"]),
        ("approved of it", format_amount(txn["approved_minor"]) if txn["approved_minor"] is not None else ""),
        ("status", txn["text"]),
        ("at", moment(txn["at"], seconds=True)),
        ("card", txn["card"] or ""),
        ("entry mode", txn["entry_mode"]),
        ("reference", txn["reference"]),
        ("tip in it", txn["tip"] or ""),
        ("batch", f"{txn['batch']:06d} (the terminal's: {txn['terminal_batch']:06d})"),
        ("STAN", f"{txn['stan']:06d} (the terminal's: {txn['terminal_stan']:06d})"),
        ("RRN", txn["rrn"] or ""),
        ("approval code", txn["approval_code"] or ""),
        ("answer", f"{txn['code']} {txn['meaning']}" if txn["code"] else ""),
        ("issuer", txn["issuer"]),
        ("acquirer", txn["acquirer"]),
        ("balance", ", ".join(map(_balance, txn["balances"]))),
        ("card scheme", txn["scheme"]),
        *((f"remark, {name}", text) for name, text in txn["remarks"].items()),
        ("chip", txn["chip"]),
        ("issuer scripts", _scripts(txn)),
        ("flag", "the issuer has to confirm it" if txn["flagged"] else ""),
        ("why unknown", txn["why_unknown"]),
        ("terminal has it", given),
        ("in the totals", "yes" if txn["in_totals"] else "no"),
        ("delivery", txn["delivery"]),
        ("original", txn["original"] or ""),
        ("adjusted by", txn["replaced_by"] or ""),
        ("found out", txn["found_out"]),
        ("do", txn["to_do"]),
    ]


def _balance(one: View) -> str:
    return f"{signed(one['minor'])} {one['currency']} ({one['kind']})"


def _scripts(txn: View) -> str:
    scripts = txn["scripts"]
    if scripts is None:
        return ""
    told = f"their result: {scripts['told']}" if scripts["told"] else "the terminal has not told their result"
    return f"{scripts['count']}, {told}"


def _reversal_lines(view: View) -> list[tuple[str, str]]:
    resolved = f"by {view['resolved_by']}: {view['resolved_reason']}" if view["resolved_by"] else ""
    return [
        ("status", view["text"]),
        ("why it is owed", view["why_owed"]),
        ("owed since", moment(view["owed_since"], seconds=True)),
        ("tries", f"{view['attempts']} ({view['unanswered']} unanswered, {view['refused']} refused)"),
        ("last answer", last_answer(view)),
        ("next try", moment(view["next_try_at"], seconds=True)),
        ("carried over", "yes: its batch was closed without it" if view["carried_over"] else ""),
        ("acknowledged", "by a denial after an unanswered try" if view["flagged"] else ""),
        ("resolved", resolved),
        ("do", view["to_do"]),
    ]
