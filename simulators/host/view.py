"""The books of a simulated host as aligned lines for a person: terminals, settlements, what happened last.

Pure: takes the dump (already masked), gives text. What a peer sent is shown only if it is printable.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from posd.errors import ConfigError
from posd.values import format_amount
from simulators.host.kinds import Kind

TERMINALS_SHOWN_MAX = 40
SETTLEMENTS_SHOWN_MAX = 8
HAPPENED_SHOWN_MAX = 12
MILLISECONDS = 1_000
GAP = "  "
KIND_WIDTH = max(map(len, Kind))

TERMINAL_HEADER = ("TID", "KEYS", "BATCH", "STATE", "DEBITS", "AMOUNT", "CREDITS", "AMOUNT", "REVERSED", "REMARKS")
SETTLEMENT_HEADER = ("TID", "BATCH", "DOMESTIC", "FOREIGN", "UPLOADED", "MATCHED", "DIFFERENT", "END", "COUNT")
RIGHT = frozenset(
    {
        "BATCH",
        "DEBITS",
        "AMOUNT",
        "CREDITS",
        "REVERSED",
        "REMARKS",
        "UPLOADED",
        "MATCHED",
        "DIFFERENT",
        "COUNT",
    }
)
RESULTS = {1: "balanced", 2: "unbalanced"}

Row = tuple[str, ...]
Books = Mapping[str, Any]


class NotBooks(ConfigError):
    """Values that are not the books of this simulator. One line."""


def rendered(books: object, happened: Sequence[str] | None = None) -> list[str]:
    """The whole view. `happened`: the last event lines; None takes them from the books. NotBooks otherwise."""
    try:
        return _rendered(books, happened)  # type: ignore[arg-type]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError):
        raise NotBooks("not the books of posd-host-sim; give the file that --books writes") from None


def _rendered(books: Books, happened: Sequence[str] | None) -> list[str]:
    terminals = books["terminals"]
    lines = table(TERMINAL_HEADER, [_terminal(one) for one in terminals[:TERMINALS_SHOWN_MAX]])
    if len(terminals) > TERMINALS_SHOWN_MAX:
        lines.append(f"... and {len(terminals) - TERMINALS_SHOWN_MAX} terminals more")
    settlements = list(_settlements(terminals))
    if settlements:
        lines += ["", *table(SETTLEMENT_HEADER, settlements[-SETTLEMENTS_SHOWN_MAX:])]
    last = list(happened) if happened is not None else _happened(terminals)
    return lines + (["", *(printable(line) for line in last[-HAPPENED_SHOWN_MAX:])] if last else [])


def table(header: Row, rows: Sequence[Row]) -> list[str]:
    """Columns as wide as their widest cell; numbers to the right."""
    cells = [header, *(tuple(printable(cell) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]

    def line(row: Row) -> str:
        parts = (
            cell.rjust(width) if name in RIGHT else cell.ljust(width)
            for name, cell, width in zip(header, row, widths, strict=True)
        )
        return GAP.join(parts).rstrip()

    return [line(row) for row in cells]


def told(event: Mapping[str, object], at_ms: int) -> str:
    """One event as a plain line: time, what, and its facts."""
    facts = {name: value for name, value in event.items() if name != "event"}
    amount = facts.get("amount")
    if isinstance(amount, int):
        facts["amount"] = format_amount(amount)
    text = " ".join(f"{name}={_short(value)}" for name, value in facts.items())
    return printable(f"{clock(at_ms)}  {event.get('event')!s:<12}  {text}".rstrip())


def clock(at_ms: int) -> str:
    """A time of day on this machine's clock: 09:05:07."""
    return f"{datetime.fromtimestamp(at_ms // MILLISECONDS):%H:%M:%S}"


def printable(text: str) -> str:
    """Without control characters: a peer must not write on this screen."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _terminal(one: Books) -> Row:
    batch = one["batches"][-1]
    groups = list(batch["totals"].values())
    total = {name: sum(group[name] for group in groups) for name in groups[0]}
    reverses = sum(row["state"] == "reversed" for batch in one["batches"] for row in batch["transactions"])
    return (
        str(one["tid"]),
        "yes" if one["signed_in"] else "no",
        str(batch["number"]),
        str(batch["state"]),
        str(total["debit_count"]),
        format_amount(total["debit_minor"]),
        str(total["credit_count"]),
        format_amount(total["credit_minor"]),
        str(reverses),
        str(len(one["remarks"])),
    )


def _settlements(terminals: Sequence[Books]) -> Iterator[Row]:
    """Every settlement, in the order of time."""
    found = [
        (one["at_ms"], terminal["tid"], batch["number"], one)
        for terminal in terminals
        for batch in terminal["batches"]
        for one in batch["settlements"]
    ]
    for _, tid, number, one in sorted(found, key=lambda row: row[:2]):
        parts = [one["groups"].get(name, {}) for name in ("domestic", "foreign")]
        parts[0] = one["groups"].get("all", parts[0])  # a dialect with one group shows it in the first column
        groups = [RESULTS.get(part.get("result"), "-") for part in parts]
        end = (str(one["end_code"] or "-"), "-" if one["end_count"] is None else str(one["end_count"]))
        counts = (str(one["uploaded"]), str(one["matched"]), str(len(one["differences"])))
        yield (str(tid), str(number), *groups, *counts, *end)


def _happened(terminals: Sequence[Books]) -> list[str]:
    """The newest transactions, totals and closes, by the books alone."""
    found: list[tuple[int, str]] = []
    for terminal in terminals:
        for batch in terminal["batches"]:
            where = f"{terminal['tid']}  batch {batch['number']}"
            found += [(row["at_ms"], f"{where}  {_transaction(row)}") for row in batch["transactions"]]
            for one in batch["settlements"]:
                found.append((one["at_ms"], f"{where}  totals {_balance(one)}"))
                found += [(one["at_ms"], f"{where}  {_difference(item)}") for item in one["differences"]]
            if batch["closed_at_ms"] is not None:
                found.append((batch["closed_at_ms"], f"{where}  closed"))
    newest = sorted(found, key=lambda item: item[0])[-HAPPENED_SHOWN_MAX:]
    return [f"{clock(at_ms)}  {text}" for at_ms, text in newest]


def _transaction(row: Books) -> str:
    kind, amount = row["kind"].ljust(KIND_WIDTH), format_amount(row["amount"])
    return f"{kind}  STAN {row['stan']:06d}  {amount:>10}  {row['card']}  {row['code']}  {row['state']}"


def _difference(item: Books) -> str:
    sides = (f"{name} {_side(item[name])}" for name in ("ours", "uploaded"))
    return f"{item['kind']:<9}  STAN {item['stan']:06d}  {', '.join(sides)}"


def _side(record: Books | None) -> str:
    return (
        "nothing"
        if record is None
        else f"{format_amount(record['amount'])} {record['card']} {record.get('class') or record['invoice']}"
    )


def _balance(one: Books) -> str:
    return "balanced" if one["balanced"] else "not balanced"


def _short(value: object) -> str:
    if isinstance(value, list):
        return f"{len(value)} items" if len(value) > 1 else "".join(str(item) for item in value) or "none"
    if isinstance(value, Mapping):
        results = [f"{name}:{RESULTS.get(part.get('result'), '?')}" for name, part in value.items()]
        return ",".join(results)
    return str(value)
