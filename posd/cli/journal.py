"""`posd journal show | verify | export`: what was remembered, and whether it is still what was written.

Read-only and safe beside a running daemon. Everything in the journal was masked before it was written; working keys,
which stand there under the TMK, are left out of what is shown.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from posd.cli import exit_status
from posd.cli.asking import settings_at
from posd.cli.screen import Progress, note, paint, print_json, print_json_line, printable, table
from posd.cli.times import At, row_times
from posd.daemon.archive.segment_view import segment_view
from posd.daemon.shown.offline import journal_folder
from posd.daemon.shown.questions import no_terminal
from posd.errors import ConfigError
from posd.journal.reader import JournalReader
from posd.journal.segment import missing
from posd.journal.verify import Report, verify
from posd.journal.verify_archive import Depth, Looks, Seen
from posd.security.machine import load_machine_key
from posd.settings import Settings
from posd.values import Tid

SHOWN_ROWS = 50
"""What `show` shows when no limit is given: the newest."""
HIDDEN = ("wrapped_keys",)
HEADS = ("ROW", "AT", "TERMINAL", "STAN", "WHAT", "DETAILS")
NAMES = {"3": "processing", "4": "amount", "37": "RRN", "39": "code"}
NAMES |= {name: name for name in ("type", "amount", "original", "status", "refusal", "because")}
"""Fields of a message that a line has room for: by their numbers, and of a till by their names."""
TOLD_ELSEWHERE = ("tid", "request_id", "stan", "batch_number")
DETAIL_CHARACTERS_MAX = 100

MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
SEEN = {
    Seen.ROWS: "each row checked",
    Seen.SUM: "checksum right",
    Seen.NOT_CHECKED: "not checked",
    Seen.NOT_HERE: "not here, as was said; it ends with {head}",
    Seen.DAMAGED: "not as it was written",
}

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Filters:
    """Which rows; None: any. `after`: only rows with a larger number."""

    tid: str | None = None
    request_id: str | None = None
    stan: int | None = None
    rrn: str | None = None
    batch: int | None = None
    after: int | None = None


def show_command(config: Path, filters: Filters, limit: int | None, as_json: bool, utc: bool) -> int:
    """The newest rows that fit (with `after`: the first ones after it), oldest first."""
    count = limit or SHOWN_ROWS
    settings = settings_at(config)
    with _reader(settings, filters) as reader:
        if filters.after is None:
            rows = [row.as_dict() for row in reader.merged(**asdict(filters), limit=count, newest_first=True)][::-1]
        else:
            rows = [row.as_dict() for row in reader.merged(**asdict(filters), limit=count)]
        _say_what_is_not_here(reader)
    if as_json:
        for row in rows:
            print_json_line(as_document(row))
    else:
        print(table(*summary(rows, row_times(settings, utc)), right=(0,)))
    return exit_status.GOOD


def export_command(config: Path, filters: Filters, limit: int | None) -> int:
    """Every row that fits as a JSON line, oldest first."""
    with Progress("exporting", "rows") as progress, _reader(settings_at(config), filters) as reader:
        for count, row in enumerate(reader.merged(**asdict(filters), limit=limit), start=1):
            print_json_line(as_document(row.as_dict()))
            progress.tell(count)
        _say_what_is_not_here(reader)
    return exit_status.GOOD


def _say_what_is_not_here(reader: JournalReader) -> None:
    for segment in reader.not_here:
        note(f"not shown: {missing(segment).removeprefix('journal: ')}")


def verify_command(config: Path, segments: str, elsewhere: bool, as_json: bool) -> int:
    """Fold the chain anew and compare it with the anchor. Status 1: something is not as it was written."""
    looks = _looks(segments, elsewhere)
    settings = settings_at(config)
    chain_key = load_machine_key(settings.machine_key_file).derive("chain")
    with Progress("verifying the journal", "rows") as progress:
        report = verify(journal_folder(settings), chain_key, progress.tell, looks)
    if as_json:
        print_json(_report(report))
    else:
        _show_report(report)
    return exit_status.GOOD if report.intact else exit_status.FINDINGS


def _reader(settings: Settings, filters: Filters) -> JournalReader:
    """Raises ConfigError: there is no journal, or neither it nor the configuration knows the terminal."""
    reader = JournalReader(journal_folder(settings))
    known = {Tid(one.tid): one for one in settings.terminals}
    if filters.tid is None or filters.tid in known or next(reader.merged(tid=filters.tid, limit=1), None) is not None:
        return reader
    reader.close()
    raise no_terminal(filters.tid, known)


def _report(report: Report) -> dict[str, Any]:
    return {
        "intact": report.intact,
        "rows": report.rows,
        "head": report.head.sequence,
        "link": report.head.link.hex(),
        "anchor": report.anchor_sequence,
        "findings": [asdict(finding) for finding in report.findings],
        "archived": report.base_sequence,
        "segments": [{**segment_view(one.segment), "seen": one.seen.value} for one in report.segments],
        "notes": list(report.notes),
    }


def _looks(segments: str, elsewhere: bool) -> Looks:
    """What `--segments` means. Raises ConfigError."""
    if segments in set(Depth):
        return Looks(Depth(segments), elsewhere=elsewhere)
    months = frozenset(filter(None, (month.strip() for month in segments.split(","))))
    if not months or not all(MONTH.fullmatch(month) for month in months):
        raise ConfigError("journal verify: --segments is all, sums, none, or months such as 2026-03,2026-04")
    return Looks(months=months, elsewhere=elsewhere)


def _show_report(report: Report) -> None:
    anchor = "unreadable" if report.anchor_sequence is None else f"at row {report.anchor_sequence}"
    print(f"{report.rows} rows, head at row {report.head.sequence}, anchor {anchor}")
    for one in report.segments:
        print(printable(f"{one.segment}: {SEEN[one.seen].format(head=one.segment.head_link.hex()[:16])}"))
    for text in report.notes:
        print(printable(text))
    for finding in report.findings:
        print(paint(printable(str(finding)), "red"))
    if report.intact:
        print(paint("intact: every row is the one that was written", "green"))
    else:
        print(
            f"{len(report.findings)} finding(s): keep these files as they are, and restore the journal with its anchor"
        )


def as_document(row: Row) -> dict[str, Any]:
    """A row for a program: its text is JSON itself, and its moment is readable."""
    document = {name: value for name, value in row.items() if name not in ("payload", "fields")}
    document["at"] = moment(row["at_ms"])
    name = "payload" if row["row"] == "record" else "fields"
    document[name] = _without_keys(json.loads(row[name]))
    return document


def _without_keys(payload: Any) -> Any:
    if not isinstance(payload, dict):
        return payload
    return {name: "***" if name in HIDDEN and value else value for name, value in payload.items()}


def moment(at_ms: int) -> str:
    """For programs: UTC with its offset."""
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).isoformat(timespec="milliseconds")


def summary(rows: Iterable[Row], at: At) -> tuple[Sequence[str], list[list[str]]]:
    """Heads and rows of a table for people; `at` says how a moment is shown."""
    return HEADS, [_cells(row, at) for row in rows]


def _cells(row: Row, at: At) -> list[str]:
    stan = "" if row["stan"] is None else f"{row['stan']:06d}"
    if row["row"] == "record":
        what, shown = row["kind"], ", ".join(_facts(json.loads(row["payload"])))
    else:
        fields = json.loads(row["fields"])
        what = f"{'<-' if row['direction'] == 'in' else '->'} {row['peer']} {row['mti']}"
        shown = ", ".join(f"{name} {fields[number]}" for number, name in NAMES.items() if number in fields)
    return [str(row["sequence"]), at(row["tid"], row["at_ms"]), row["tid"], stan, what, _cut(shown)]


def _facts(payload: Mapping[str, Any]) -> Iterator[str]:
    """A record's facts as words; what is empty, long or a key is left out."""
    for name, value in payload.items():
        if name in HIDDEN or name in TOLD_ELSEWHERE or value in (None, "", False, [], {}):
            continue
        if isinstance(value, dict):
            yield from _facts(value)
        else:
            yield f"{name} {len(value) if isinstance(value, list) else value}"


def _cut(text: str) -> str:
    return text if len(text) <= DETAIL_CHARACTERS_MAX else text[: DETAIL_CHARACTERS_MAX - 1] + "…"
