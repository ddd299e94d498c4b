"""`posd settle --show` and `--slip`: what became of a settlement, from the journal, with the daemon up or down.

Exit status 1 when one did not end well: out of balance, or not confirmed by the host.
"""

from pathlib import Path

from posd.cli import exit_status
from posd.cli.asking import open_journal, settings_at
from posd.cli.close_words import advice, conclusion, event, known, label, reversal, suspicion
from posd.cli.lang import Lang
from posd.cli.screen import Progress, paint, print_json, printable, table
from posd.cli.slip import slip
from posd.cli.status import moment
from posd.core.schedule import local
from posd.daemon.clock import SystemClock
from posd.daemon.shown.views import View


def show_command(config: Path, tid: str | None, batch: int | None, as_json: bool, lang: Lang) -> int:
    """Everything that is known of one settlement."""
    reports = _reports(config, tid, batch)
    if as_json:
        print_json({"good": all(report["good"] for report in reports), "settlements": reports})
    else:
        print("\n\n".join("\n".join(_lines(report, lang)) for report in reports))
    return _status(reports)


def slip_command(config: Path, tid: str | None, batch: int | None, lang: Lang) -> int:
    """The same for the people of a shop, to be printed."""
    reports = _reports(config, tid, batch)
    settings = settings_at(config)
    now_ms = SystemClock().now().wall_ms
    for number, report in enumerate(reports):
        terminal = next(one for one in settings.terminals if one.tid == report["tid"])
        printed = local(now_ms, settings.schedule_of(terminal).zone).isoformat(sep=" ", timespec="seconds")[:19]
        print(("\n\n" if number else "") + slip(report, terminal.mid, printed, lang))
    return _status(reports)


def _reports(config: Path, tid: str | None, batch: int | None) -> list[View]:
    settings = settings_at(config, tid)
    with Progress("reading the journal"), open_journal(settings) as journal:
        return journal.settlements(tid, batch)


def _status(reports: list[View]) -> int:
    return exit_status.GOOD if all(report["good"] for report in reports) else exit_status.FINDINGS


def _lines(report: View, lang: Lang) -> list[str]:
    text = label(lang, "head", tid=report["tid"], batch=report["batch"], text=conclusion(lang, report))
    lines = [paint(text, "green" if report["good"] else "red"), ""]
    lines += [f"{moment(step['at'], seconds=True)}  {printable(event(lang, step))}" for step in report["events"]]
    lines += ["", _groups(report, lang)]
    if report["host"] is None:
        lines.append(label(lang, "no_host" if report["host_tells_totals"] else "no_host_ever"))
    if report["items"]:
        counted = {"uploaded": report["uploaded"], "all": len(report["items"]), "set_aside": report["set_aside"]}
        lines += ["", label(lang, "items", **counted), _transactions(report["items"], "fate", lang)]
    if report["carried_over"]:
        lines += ["", label(lang, "carried"), _transactions(report["carried_over"], "reversal", lang)]
    if report["scripts_not_told"]:
        lines += ["", label(lang, "scripts"), _transactions(report["scripts_not_told"], "status", lang)]
    if report["suspects"]:
        lines += ["", label(lang, "suspects"), _transactions(report["suspects"], "why", lang)]
    elif not report["good"] or any(row["differs"] for row in report["groups"]):
        lines += ["", label(lang, "no_suspects")]
    return lines


def _groups(report: View, lang: Lang) -> str:
    heads = [label(lang, name) for name in ("group", "side", "ours", "host", "difference", "result")]
    rows = [_group(row, lang) for row in report["groups"]]
    return table(heads, rows, right=(2, 3, 4), colours=["red" if row["differs"] else "" for row in report["groups"]])


def _group(row: View, lang: Lang) -> list[str]:
    host = row["host"] is not None
    return [
        known(lang, row["group"]),
        known(lang, row["side"]),
        f"{row['ours']} ({row['ours_count']})",
        f"{row['host']} ({row['host_count']})" if host else "-",
        f"{row['difference']} ({row['difference_count']:+d})" if host and row["differs"] else "",
        known(lang, row["result"]) if row["result"] and row["side"] == "debit" else "",
    ]


def _transactions(shown: list[View], last: str, lang: Lang) -> str:
    heads = [label(lang, name) for name in ("at", "transaction", "kind", "amount", "card", "group", last)]
    rows = [
        [
            moment(one["at"], seconds=True),
            one["request_id"],
            known(lang, one["kind"]),
            one["amount"],
            one["card"] or "",
            known(lang, one["group"]),
            _last_word(one, last, lang),
        ]
        for one in shown
    ]
    return table(heads, rows, right=(3,))


def _last_word(one: View, last: str, lang: Lang) -> str:
    match last:
        case "fate":
            return known(lang, one["fate"])
        case "status":
            return str(one["code"] or "")
        case "reversal":
            return advice(lang, one) if "advice" in one else reversal(lang, one)
        case _:
            return suspicion(lang, one)
