"""A process that the demo started: what it prints, and its end.

Everything it prints goes to a file as it is; the lines that are JSON objects are its events, and others wait for them.
It must never outlive the demo, and nothing here touches a process that it did not start itself.
"""

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

Event = Mapping[str, Any]

STOP_LIMIT_S = 15.0
"""What a process gets to end by itself, posd's own drain included."""
KILL_LIMIT_S = 5.0
LINE_CHARACTERS_SHOWN = 300

_NOT_INHERITED = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""Of a service that may run the demo; they are not meant for our children."""


class StageFailed(Exception):
    """A process did not do its part; the text is one line for a person."""


class Process:
    """`arguments` as a child with its own session; its output, both streams, is appended to `log`.

    `listens`: it reads lines (`tell`) and ends with them; otherwise SIGTERM is what ends it.
    """

    def __init__(self, name: str, arguments: Sequence[str], log: Path, *, listens: bool = False) -> None:
        self.name, self._log = name, log
        self._events: list[Event] = []
        self._last_line = ""
        self._changed = threading.Condition()
        self._silent = False
        environment = {key: value for key, value in os.environ.items() if key not in _NOT_INHERITED}
        self._child = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE if listens else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            env=environment,
            start_new_session=True,  # a Ctrl-C on the terminal is for the demo alone, which then ends its children
        )
        self._reader = threading.Thread(target=self._read, name=f"output of {name}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._child.pid

    def mark(self) -> int:
        """A place in the events: `wait_for` with it sees only what comes after."""
        with self._changed:
            return len(self._events)

    def wait_for(self, what: str, wanted: Callable[[Event], bool], limit_s: float, since: int = 0) -> Event:
        """The first event after `since` that is wanted. Raises StageFailed: it ended, or the limit has passed."""
        deadline_s = time.monotonic() + limit_s
        with self._changed:
            while True:
                found = next((event for event in self._events[since:] if wanted(event)), None)
                if found is not None:
                    return found
                since = len(self._events)
                if self._silent:
                    raise StageFailed(f"{self.name} ended while waiting for {what}: {self._last_words()}")
                left_s = deadline_s - time.monotonic()
                if left_s <= 0 or not self._changed.wait(left_s):
                    raise StageFailed(f"{self.name}: no {what} within {limit_s:g} s; see {self._log}")

    def tell(self, line: Mapping[str, object]) -> None:
        """One JSON line on its standard input. Raises StageFailed when nobody reads it."""
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(line).encode() + b"\n")
            self._child.stdin.flush()
        except OSError:
            raise StageFailed(f"{self.name} does not listen any more: {self._last_words()}") from None

    def require_running(self) -> None:
        """Raises StageFailed when it has ended."""
        status = self._child.poll()
        if status is not None:
            raise StageFailed(f"{self.name} ended by itself with status {status}: {self._last_words()}")

    def kill(self) -> None:
        """SIGKILL, and gone."""
        self._child.kill()
        self._gone(KILL_LIMIT_S)

    def end(self) -> int:
        """Let it end by its own rules, then make it. Its exit status; of a killed one a negative number."""
        if self._child.poll() is None:
            if self._child.stdin is None:
                self._child.terminate()
            else:
                with suppress(OSError):  # what it did not read is lost with it
                    self._child.stdin.close()
        try:
            return self._gone(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            return self._gone(KILL_LIMIT_S)

    def _gone(self, limit_s: float) -> int:
        status = self._child.wait(limit_s)
        self._reader.join(KILL_LIMIT_S)
        return status

    def _read(self) -> None:
        assert self._child.stdout is not None
        with self._child.stdout, self._log.open("ab") as log:
            for line in self._child.stdout:
                log.write(line)
                log.flush()
                self._take(line.decode("utf-8", "replace").strip())
        with self._changed:
            self._silent = True
            self._changed.notify_all()

    def _take(self, line: str) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        with self._changed:
            self._last_line = line or self._last_line
            if isinstance(event, dict):
                self._events.append(event)
                self._changed.notify_all()

    def _last_words(self) -> str:
        return self._last_line[:LINE_CHARACTERS_SHOWN] or "it said nothing"
