"""The live view of a simulated host (`--watch`): its own while it serves, or another's by the books it writes.

On a terminal it refreshes in place; into a file or a pipe it prints plain lines, each new one once. It only reads.
"""

import asyncio
import contextlib
import json
import shutil
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from posd.errors import ConfigError
from simulators.host.dialects import AnyAcquirer
from simulators.host.server import wall_ms
from simulators.host.view import HAPPENED_SHOWN_MAX, NotBooks, clock, rendered, told

REFRESH_S = 0.5
BOOKS_BYTES_MAX = 268_435_456
HOME, CLEAR_LINE, CLEAR_BELOW, CLEAR_ALL = "\x1b[H", "\x1b[K", "\x1b[J", "\x1b[2J"


@dataclass(slots=True)
class Screen:
    """Where the view goes. `live`: redraw in place; otherwise only lines that were not there last time."""

    out: TextIO
    live: bool
    _before: list[str] = field(default_factory=list)

    @classmethod
    def on(cls, out: TextIO) -> "Screen":
        return cls(out, out.isatty())

    def show(self, lines: list[str]) -> None:
        """Draw a view, or print what is new in it."""
        if self.live:
            width, height = shutil.get_terminal_size()
            start = HOME if self._before else CLEAR_ALL + HOME
            text = "".join(f"{line[:width]}{CLEAR_LINE}\n" for line in lines[: height - 1])
            self.out.write(f"{start}{text}{CLEAR_BELOW}")
        else:
            known = set(self._before)
            self.out.writelines(f"{line}\n" for line in lines if line not in known)
        self.out.flush()
        self._before = lines

    def line(self, text: str) -> None:
        """One plain line, at once; nothing on a live screen, which shows it with the next view."""
        if not self.live:
            self.out.write(f"{text}\n")
            self.out.flush()


def read_books(path: Path) -> object:
    """The books that another simulator writes. ConfigError, one line, when there are none."""
    try:
        with path.open("rb") as stream:
            content = stream.read(BOOKS_BYTES_MAX + 1)
    except OSError as trouble:
        what = (trouble.strerror or "cannot be read").lower()
        raise ConfigError(f"{path}: {what}; start the simulator with --books {path}") from None
    if len(content) > BOOKS_BYTES_MAX:
        raise ConfigError(f"{path}: longer than {BOOKS_BYTES_MAX} bytes")
    try:
        return json.loads(content)
    except ValueError:
        raise NotBooks(f"{path}: not JSON; give the file that --books writes") from None


def attach(path: Path, screen: Screen, *, once: bool = False, refresh_s: float = REFRESH_S) -> None:
    """Show the books at `path` until interrupted, or once. ConfigError when they cannot be read at the start."""
    try:
        seen = _stamp(path)
        _look(path, screen)
        while not once:
            time.sleep(refresh_s)
            if (now := _stamp(path)) != seen:
                seen = now
                with contextlib.suppress(ConfigError):  # a moment without books; the view stays
                    _look(path, screen)
    except (KeyboardInterrupt, BrokenPipeError):
        return


@dataclass(slots=True)
class OwnView:
    """The view of the simulator that runs in this process: `emit` takes its events, `run` redraws."""

    screen: Screen
    acquirer: AnyAcquirer
    address: str = ""
    _last: deque[str] = field(default_factory=lambda: deque(maxlen=HAPPENED_SHOWN_MAX))

    def emit(self, event: dict[str, object]) -> None:
        """Note an event; a plain line where there is no live screen."""
        if event["event"] == "listening":
            known = [*self.address.split(", "), f"{event['host']}:{event['port']}"]
            self.address = ", ".join(dict.fromkeys(one for one in known if one))
        line = told(event, wall_ms())
        self._last.append(line)
        with contextlib.suppress(BrokenPipeError):
            self.screen.line(line)

    async def run(self, refresh_s: float = REFRESH_S) -> None:
        """Redraw until cancelled; does nothing where events are printed as lines."""
        while self.screen.live:
            title = [f"posd-host-sim  {self.address}  {clock(wall_ms())}", ""]
            self.screen.show(title + rendered(self.acquirer.dump(), list(self._last)))
            await asyncio.sleep(refresh_s)


def _look(path: Path, screen: Screen) -> None:
    try:
        lines = rendered(read_books(path))
    except NotBooks as trouble:
        raise ConfigError(f"{path}: {trouble}" if str(path) not in str(trouble) else str(trouble)) from None
    screen.show([*([f"posd-host-sim  {path}  {clock(wall_ms())}", ""] if screen.live else []), *lines])


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
