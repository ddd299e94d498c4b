"""SIGINT, SIGTERM and SIGHUP end the demo the same way: with all its processes.

They come as KeyboardInterrupt, but never while a process is being started: one that nobody has noted yet would be left
behind.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """What to do with a signal: raise at once, or when `held` is over."""

    def __init__(self) -> None:
        self._holding, self._pending = False, False

    def arrived(self, _: int, __: FrameType | None) -> None:
        """The handler."""
        if self._holding:
            self._pending = True
        else:
            raise KeyboardInterrupt

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is raised within; what came is raised after it."""
        self._holding = True
        try:
            yield
        finally:
            self._holding = False
        if self._pending:
            self._pending = False
            raise KeyboardInterrupt


INTERRUPTS = Interrupts()
"""Signals belong to the whole process, so there is one."""


@contextmanager
def interruptible() -> Iterator[None]:
    """As the module says, until the end of the context. A SIGHUP that is ignored (nohup) stays ignored."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    wanted = [number for number in SIGNALS if before[number] is not signal.SIG_IGN]
    for number in wanted:
        signal.signal(number, INTERRUPTS.arrived)
    try:
        yield
    finally:
        for number in wanted:
            signal.signal(number, before[number])
