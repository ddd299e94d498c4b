"""`posd decode`: a message of the dialect, read from standard input, shown masked and aligned or as JSON.

A message on a command line ends in shell histories and process lists, so an argument is for test data only (D29).
Standard library only: the daemon's light start (D38) stays light. Exit status: 0 read, 1 malformed, 2 misuse.
"""

import json
import sys
import unicodedata
from dataclasses import asdict
from typing import TextIO

from posd.cli.explain import Explanation, Line, explain
from posd.cli.explain_nac import explain_nac
from posd.dialects import UNIONPAY
from posd.errors import ConfigError
from posd.framing.length_prefix import FRAME_BYTES_LIMIT, LENGTH_BYTES

MESSAGE_BYTES_MAX = LENGTH_BYTES + FRAME_BYTES_LIMIT
INPUT_BYTES_MAX = 4 * MESSAGE_BYTES_MAX
"""Hex takes two characters a byte; the rest is room for spaces, colons and line ends."""
HEADER_BYTES_KNOWN = (0, 2, 6)
VALUE_COLUMNS_MAX = 40

EXIT_READ, EXIT_MALFORMED, EXIT_MISUSE = 0, 1, 2


def decode_command(test_data: str | None, as_json: bool, header_bytes: int, profile: str = UNIONPAY) -> int:
    """Reads `test_data`, or else standard input (hex text or raw bytes); prints; gives the exit status."""
    if test_data is None:
        if sys.stdin.isatty():
            _print(sys.stderr, "reading a message as hex from standard input; end with Ctrl-D")
        given = sys.stdin.buffer.read(INPUT_BYTES_MAX + 1)
    else:
        return run(test_data, as_json, header_bytes, profile)
    return run(given, as_json, header_bytes, profile)


def run(given: bytes | str, as_json: bool, header_bytes: int, profile: str = UNIONPAY) -> int:
    """`decode_command` for input that is already here; a `str` is hex. Errors go to standard error."""
    try:
        if header_bytes not in HEADER_BYTES_KNOWN:
            known = ", ".join(map(str, HEADER_BYTES_KNOWN))
            raise ConfigError(f"header length {header_bytes}: it is one of {known} bytes")
        data = message_bytes(given)
    except ConfigError as error:
        _print(sys.stderr, f"posd decode: {error}")
        return EXIT_MISUSE
    explanation = explain(data, header_bytes) if profile == UNIONPAY else explain_nac(data)
    _print(sys.stdout, as_json_text(explanation) if as_json else as_text(explanation))
    if explanation.fault is None:
        return EXIT_READ
    _print(sys.stderr, f"posd decode: malformed message: {explanation.fault}")
    return EXIT_MALFORMED


def message_bytes(given: bytes | str) -> bytes:
    """The message in what was given: hex with white space and colons as one likes, or the bytes themselves.

    Text without a single control character is taken for hex; a raw message always has some. Raises
    ConfigError for what is no message at all.
    """
    if len(given) > INPUT_BYTES_MAX:
        raise ConfigError(f"too long: more than {INPUT_BYTES_MAX} bytes of input")
    text = given if isinstance(given, str) else _as_text(given)
    data = given if isinstance(given, bytes) and text is None else _from_hex(text or "")
    if len(data) > MESSAGE_BYTES_MAX:
        raise ConfigError(f"too long: {len(data)} bytes, a message has at most {MESSAGE_BYTES_MAX}")
    return data


def _as_text(given: bytes) -> str | None:
    try:
        text = given.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if all(char.isprintable() or char.isspace() for char in text) else None


def _from_hex(text: str) -> bytes:
    digits = "".join(text.split()).replace(":", "")
    if not digits:
        raise ConfigError("no message: give it as hex on standard input")
    for place, char in enumerate(digits, start=1):
        if char not in "0123456789abcdefABCDEF":
            raise ConfigError(f"not hex: character {place} (spaces and colons not counted) is no hex digit")
    if len(digits) % 2:
        raise ConfigError(f"an odd number of hex digits: {len(digits)}")
    return bytes.fromhex(digits)


def as_text(explanation: Explanation) -> str:
    """Aligned columns: field, name, value, meaning; sub-fields indented."""
    lines = explanation.lines
    labels = [f"  {line.label}" if "." in line.label else line.label for line in lines]
    label_columns = max(map(len, labels), default=0)
    name_columns = max((len(line.name) for line in lines), default=0)
    value_columns = min(max((_columns(line.value) for line in lines), default=0), VALUE_COLUMNS_MAX)
    return "\n".join(
        _row(label.ljust(label_columns), line, name_columns, value_columns)
        for label, line in zip(labels, lines, strict=True)
    )


def _row(label: str, line: Line, name_columns: int, value_columns: int) -> str:
    fill = " " * max(0, value_columns - _columns(line.value))
    return f"{label}  {line.name:<{name_columns}}  {line.value}{fill}  {line.meaning}".rstrip()


def _columns(text: str) -> int:
    """Columns on a screen: Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def as_json_text(explanation: Explanation) -> str:
    """`{"lines": [{"label", "name", "value", "meaning"}, …], "error": null | {"what", "field", "offset"}}`."""
    fault = explanation.fault
    document = {
        "lines": [asdict(line) for line in explanation.lines],
        "error": None if fault is None else asdict(fault),
    }
    return json.dumps(document, indent=2)


def _print(stream: TextIO, text: str) -> None:
    """One write that no locale can refuse: what it cannot say becomes an escape."""
    encoding = stream.encoding or "ascii"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream)
