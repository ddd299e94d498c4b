"""A settlement on paper: 40 columns of plain text for a shop's printer, in English or Chinese.

Chinese characters take two columns each. Pure; nothing in a report is unmasked, and nothing here may add to it.
"""

from posd.cli.close_words import conclusion, label
from posd.cli.lang import Lang
from posd.cli.screen import columns, printable
from posd.cli.status import moment
from posd.daemon.shown.views import View

WIDTH = 40
RULE = "-" * WIDTH
AMOUNT_COLUMNS = 16


def slip(report: View, mid: str, printed_at: str, lang: Lang) -> str:
    """The slip of one settlement report; `printed_at`: '2026-03-02 23:00:09', in the terminal's own zone."""
    lines = [
        _centred(label(lang, "title")),
        RULE,
        _pair(label(lang, "merchant"), mid),
        _pair(label(lang, "terminal"), report["tid"]),
        _pair(label(lang, "batch"), f"{report['batch']:06d}"),
    ]
    for name in ("begun_at", "closed_at"):
        if report[name]:
            lines.append(_pair(label(lang, name), moment(report[name], seconds=True)))
    lines += [RULE, *_wrapped(conclusion(lang, report)), RULE, *_totals(report, lang), RULE]
    lines += _counts(report, lang)
    return "\n".join(
        [*lines, "", label(lang, "signature") + " " + "_" * 24, "", _pair(label(lang, "printed"), printed_at)]
    )


def _totals(report: View, lang: Lang) -> list[str]:
    """Each side of each group with anything in it: ours, and where it differs the host's below."""
    lines = []
    for row in report["groups"]:
        empty = not row["ours_count"] and not row["host_count"]
        if empty and row is not report["groups"][0]:
            continue
        name = f"{label(lang, row['group'])} {label(lang, row['side'])}"
        lines.append(_amount(name, row["ours_count"], row["ours"], lang))
        if row["differs"]:
            lines.append(_amount(f"  {label(lang, 'host')}", row["host_count"], row["host"], lang))
            lines.append(_amount(f"  {label(lang, 'difference')}", row["difference_count"], row["difference"], lang))
    if report["host"] is None and report["outcome"] != "empty" and report["host_tells_totals"]:
        lines += _wrapped(label(lang, "no_host"))
    return lines


def _counts(report: View, lang: Lang) -> list[str]:
    counted = (
        ("slip_items", report["uploaded"]),
        ("slip_set_aside", report["set_aside"]),
        ("slip_carried", sum(_still_owed(one) for one in report["carried_over"])),
    )
    return [_pair(label(lang, name), label(lang, "count", count=count)) for name, count in counted if count]


def _still_owed(one: View) -> bool:
    """A reversal, or an advice, that was carried over."""
    return one.get("reversal", one.get("advice")) in ("owed", "stuck", "conflict")


def _amount(name: str, count: int, amount: str, lang: Lang) -> str:
    left = _pair(name, label(lang, "count", count=count), WIDTH - AMOUNT_COLUMNS)
    return left + amount.rjust(AMOUNT_COLUMNS)


def _pair(name: str, value: str, width: int = WIDTH) -> str:
    """A name at the left and its value at the right edge."""
    value = printable(value)
    return name + " " * max(1, width - columns(name) - columns(value)) + value


def _centred(text: str) -> str:
    return " " * ((WIDTH - columns(text)) // 2) + text


def _wrapped(text: str) -> list[str]:
    """Lines of at most the width; between words where there are any."""
    lines, line = [], ""
    for piece in _pieces(printable(text)):
        if columns(line + piece.rstrip()) > WIDTH:
            lines.append(line.rstrip())
            line = ""
        line += piece
    return [*lines, line.rstrip()]


def _pieces(text: str) -> list[str]:
    """Words with their space; a Chinese character is a piece of its own."""
    pieces, word = [], ""
    for char in text:
        word += char
        if char == " " or columns(char) == 2:
            pieces.append(word)
            word = ""
    return [*pieces, word]
