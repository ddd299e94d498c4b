"""The files of a simulated host: its books for whoever audits them, its state for its own next life.

Each is rewritten whole and moved into place, so a reader and a restart after kill -9 find the old one or the
new one, never half. The state holds keys and card numbers of tests: it is readable by its owner only.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

from simulators.host.event_lines import Emit

BOOKS_MODE, STATE_MODE = 0o644, 0o600

Content = Callable[[], dict[str, object]]


class OnDisk:
    """Writes what it is given to write; a file that cannot be written is an event, not the end."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._files: list[tuple[str, Path, int, Content]] = []

    def keep(self, name: str, path: Path | None, mode: int, content: Content) -> None:
        """Write `content()` to `path` at every `write`, with these permissions; nothing without a path."""
        if path is not None:
            self._files.append((name, path, mode, content))

    def write(self) -> None:
        """All files, now."""
        for name, path, mode, content in self._files:
            try:
                write_whole(path, json.dumps(content(), ensure_ascii=False), mode)
            except OSError as trouble:
                self._emit({"event": f"{name} not written", "what": str(trouble)})


def write_whole(path: Path, text: str, mode: int = BOOKS_MODE) -> None:
    """Replace a file in one step. OSError when that cannot be."""
    beside = path.with_name(path.name + ".new")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as stream:
        stream.write(text)
    os.replace(beside, path)
