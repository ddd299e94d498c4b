"""How the demo tells its story: numbered acts and aligned lines with ✓ or ✗, in English and Chinese.

Colours on a terminal only, plain words where the encoding has no such signs. It must never be given card data: cards
come masked.
"""

import unicodedata
from typing import TextIO

TITLE_COLUMNS = 32
TITLE_ZH_COLUMNS = 22
SIGNS = {True: "✓", False: "✗", None: "·"}
PLAIN_SIGNS = {True: "ok", False: "!!", None: "- "}
COLOURS = {True: "\x1b[32m", False: "\x1b[31;1m", None: "\x1b[2m"}
BOLD, RESET = "\x1b[1m", "\x1b[0m"


class Teller:
    """Writes to `stream`, line by line, as things happen."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._colours = stream.isatty()
        self._plain = not _can_write(stream, "✓冲")
        self._acts = 0

    def say(self, text: str = "") -> None:
        """A line as it is."""
        print(text, file=self._stream, flush=True)

    def act(self, title: str, title_zh: str) -> None:
        """The next numbered act."""
        self._acts += 1
        heading = f"{self._acts:2}  {title}" if self._plain else f"{self._acts:2}  {title}  {title_zh}"
        self.say()
        self.say(f"{BOLD}{heading}{RESET}" if self._colours else heading)

    def line(self, good: bool | None, title: str, title_zh: str, text: str = "") -> None:
        """One thing that happened. `good` None: neither good nor bad."""
        sign = (PLAIN_SIGNS if self._plain else SIGNS)[good]
        if self._colours:
            sign = f"{COLOURS[good]}{sign}{RESET}"
        titles = _padded(title, TITLE_COLUMNS)
        if not self._plain:
            titles += _padded(title_zh, TITLE_ZH_COLUMNS)
        self.say(f"    {sign} {titles} {text}".rstrip())


def _padded(text: str, columns: int) -> str:
    """`text` filled up to so many columns of a terminal: a Chinese character takes two."""
    return text + " " * max(1, columns - sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text))


def _can_write(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
