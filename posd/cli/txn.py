"""`posd txn list | show`: transactions as the books have them, of any age, masked.

What the daemon remembers comes from it; one batch by its number, and what is older, from the journal.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from posd.cli import exit_status
from posd.cli.asking import ask, command, open_journal, settings_at
from posd.cli.journal import summary
from posd.cli.proposals import said_status, waiting_line
from posd.cli.reversals import last_answer
from posd.cli.screen import note, pairs, print_json, printable, table
from posd.cli.times import row_times, stamp
from posd.daemon.shown.refused_view import TURNED_AWAY
from posd.daemon.shown.settlement_report import signed
from posd.daemon.shown.views import View
from posd.errors import ConfigError, PosdError
from posd.settings import Settings
from posd.values import format_amount

HEADS = ("AT", "TRANSACTION", "KIND", "AMOUNT", "CARD", "STATUS", "CODE", "RRN", "STAN", "BATCH", "WHY")
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
    "turned_away": "dim",
    "reversed": "yellow",
    "resolved": "yellow",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which transactions; None: any."""

    tid: str | None = None
    batch: int | None = None
    status: str | None = None
    limit: int | None = None


def list_command(config: Path, wanted: Wanted, as_json: bool, utc: bool) -> int:
    """The transactions that fit and the requests that were not sent, oldest first."""
    settings = settings_at(config, wanted.tid)
    said = _listed(settings, wanted)
    if as_json:
        print_json(said)
        return exit_status.GOOD
    found = said["transactions"]
    if not found:
        print("No transaction fits.")
        return exit_status.GOOD
    print(
        table(
            HEADS,
            [_row(txn, utc) for txn in found],
            right=(3, 8),
            colours=[COLOURS.get(txn["status"], "") for txn in found],
        )
    )
    _note_gaps(said)
    if said["left_out"]:
        note(f"{said['left_out']} older ones are left out; narrow it with --tid, --batch or --status")
    return exit_status.GOOD


def _note_gaps(said: View) -> None:
    """What is not listed because this journal does not know it."""
    for gap in said.get("gaps", ()):
        span = f"from {gap['since']} to {gap['until']}"
        note(f"terminal {gap['tid']}: what was done {span} is not known; see: posd restore-gap list")


def _listed(settings: Settings, wanted: Wanted) -> View:
    """A txn.list of the states, or of the journal for one batch, with what posd answered itself."""
    asked = asdict(wanted)
    if wanted.status == TURNED_AWAY:
        said: View = {"transactions": [], "left_out": 0}
    elif wanted.batch is None:
        said = ask(settings, "txn.list", asked)
    else:
        with open_journal(settings) as journal:
            said = journal.of_batch(asked)
            for text in journal.not_here:
                note(f"not looked through: {text}")
    if wanted.status not in (None, TURNED_AWAY):
        return said
    every = sorted([*said["transactions"], *_refused(settings, wanted)], key=_order)
    newest = every[-(wanted.limit or len(every)) :]
    return {**said, "transactions": newest, "left_out": said["left_out"] + len(every) - len(newest)}


def _order(txn: View) -> tuple[str, int, int]:
    return str(txn["at"]), txn["terminal_batch"] or 0, txn["terminal_stan"] or 0


def _refused(settings: Settings, wanted: Wanted) -> list[View]:
    """None, and said so, when this user may not read the journal."""
    try:
        with open_journal(settings) as journal:
            return journal.refused(wanted.tid, wanted.batch)
    except PosdError as error:
        note(f"requests that were not sent are not shown: {error}")
        return []


def _row(txn: View, utc: bool) -> list[str]:
    return [
        stamp(txn["at"], utc),
        txn["request_id"],
        txn["kind"] or "",
        txn["amount"] or "",
        txn["card"] or "",
        txn["status"],
        txn["code"] or "",
        txn["rrn"] or "",
        number(txn["stan"]),
        number(txn["batch"]),
        txn["why_unknown"],
    ]


def number(value: int | None) -> str:
    """A STAN or a batch number in its six digits; empty where there is none."""
    return "" if value is None else f"{value:06d}"


def show_command(config: Path, name: str, as_json: bool, utc: bool) -> int:
    """One transaction with its reversal, and what the journal has of it."""
    settings = settings_at(config)
    txn = ask(settings, "txn.show", {"id": name})["transaction"] or _older(settings, name)
    history, number_now = _from_journal(settings, txn["request_id"])
    if as_json:
        print_json({"transaction": txn, "card_number": number_now, "history": history})
        return exit_status.GOOD
    print(pairs([*_lines(txn, utc), ("card number", _number_line(number_now, utc))]))
    if line := waiting_line(txn):
        print(printable(line))
    if txn["reversal"]:
        print(f"\nReversal\n{pairs(_reversal_lines(txn['reversal'], utc))}")
    if history:
        print(f"\nHistory\n{table(*summary(history, row_times(settings, utc)))}")
    return exit_status.GOOD


def resolve_command(config: Path, name: str, happened: str, by: str | None, reason: str, as_json: bool) -> int:
    """A person says whether a refund in doubt happened: who, and why (D13)."""
    if happened not in HAPPENED:
        raise ConfigError(f"txn resolve: --happened is {' or '.join(HAPPENED)}")
    asked = {"id": name, "happened": HAPPENED[happened], "by": by, "reason": reason}
    said = command(settings_at(config), "txn.resolve", asked)
    if as_json:
        print_json(said)
    else:
        print(printable(f"{said['request_id']}: {said['text']}"))
    return said_status(said)


def _older(settings: Settings, name: str) -> View:
    with open_journal(settings) as journal:
        found: View = journal.show(name)["transaction"]
        return found


def _from_journal(settings: Settings, request_id: str) -> tuple[list[dict[str, Any]], View | None]:
    """Its rows, and whether its card number can be read. Empty, and said so, when this user may not read the journal:
    the transaction itself is known."""
    try:
        with open_journal(settings) as journal:
            return journal.timeline(request_id), journal.card_number(request_id)
    except PosdError as error:
        note(f"its history is not shown: {error}")
        return [], None


def _number_line(said: View | None, utc: bool) -> str:
    match said["state"] if said is not None else "":
        case "kept":
            return "kept, sealed, until its time is over (cards.numbers_kept_days)"
        case "gone":
            since = stamp(said["since"], utc) if said is not None else ""
            return f"gone since {since}: its time was over, and nobody can read it any more"
        case "missing":
            return "cannot be read: its data key is not here; lost? posd backup restore brings keys back"
        case _:
            return ""


def _lines(txn: View, utc: bool) -> list[tuple[str, str]]:
    given = {True: "yes", False: "not known yet", None: ""}[txn["given_to_terminal"]]
    return [
        ("transaction", txn["request_id"]),
        ("terminal", txn["tid"]),
        ("kind", txn["kind"]),
        ("amount", txn["amount"] or ""),
        ("approved of it", format_amount(txn["approved_minor"]) if txn["approved_minor"] is not None else ""),
        ("status", txn["text"]),
        ("at", stamp(txn["at"], utc)),
        ("card", txn["card"] or ""),
        ("entry mode", txn["entry_mode"]),
        ("reference", txn["reference"]),
        ("tip in it", txn["tip"] or ""),
        ("invoice", txn["invoice"] or ""),
        ("batch", both(txn["batch"], txn["terminal_batch"])),
        ("STAN", both(txn["stan"], txn["terminal_stan"])),
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
        ("why", txn["why_unknown"]),
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


def both(ours: int | None, terminals: int | None) -> str:
    """Our number and the terminal's own, as far as there are any."""
    if not terminals:
        return number(ours)
    return f"{number(ours) or 'none'} (the terminal's: {number(terminals)})"


def _reversal_lines(view: View, utc: bool) -> list[tuple[str, str]]:
    resolved = f"by {view['resolved_by']}: {view['resolved_reason']}" if view["resolved_by"] else ""
    return [
        ("status", view["text"]),
        ("why it is owed", view["why_owed"]),
        ("owed since", stamp(view["owed_since"], utc)),
        ("tries", f"{view['attempts']} ({view['unanswered']} unanswered, {view['refused']} refused)"),
        ("last answer", last_answer(view)),
        ("next try", stamp(view["next_try_at"], utc)),
        ("carried over", "yes: its batch was closed without it" if view["carried_over"] else ""),
        ("acknowledged", "by a denial after an unanswered try" if view["flagged"] else ""),
        ("resolved", resolved),
        ("do", view["to_do"]),
    ]
