"""An event loop on the stage's time: what is written for asyncio lives in the world as it does in the daemon.

One loop for each life of the machine. It has no sockets, no threads and no clock of its own; what is called soon
happens in the same moment, what is called later when the stage gets there.
"""

import asyncio
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from math import ceil
from typing import Any, cast

from simulators.world.stage import Stage

ROUNDING = 1e-6
"""Of a millisecond."""


class StageLoop:
    """As much of a loop (asyncio.AbstractEventLoop) as daemon/links/routes.py and its links use."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._as_loop = cast(asyncio.AbstractEventLoop, self)
        self._ready: deque[asyncio.Handle] = deque()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._planned = False
        self._dead = False

    def begin(self) -> None:
        """From now on it is the running loop."""
        events._set_running_loop(self._as_loop)

    def end(self) -> None:
        """The process is gone: nothing rings any more, and what was waiting is unwound, unheard."""
        self._dead = True
        for task in list(self._tasks):
            task.cancel()

    # --- what asyncio asks for ---------------------------------------------------------------------------------------

    def time(self) -> float:
        return self._stage.now_ms / 1000

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self._as_loop)

    def create_task(
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self._as_loop, name=name, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._dead:
            task.cancel()
        return task

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self._as_loop, context)
        self._ready.append(handle)
        if not self._planned:
            self._planned = True
            self._stage.after(0.0, self.run_ready)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Never too early, and a moment later at least: who finds that it is too early would ask again at once."""
        wait_ms = max(1, ceil(delay * 1000 - ROUNDING)) if delay > 0 else 0
        timer = asyncio.TimerHandle(self.time() + delay, callback, args, self._as_loop, context)
        self._stage.after(wait_ms / 1000, lambda: self._ring(timer))
        return timer

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self._stage.violate(f"the line failed: {context.get('message')}: {type(error).__name__} {error}")

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """A cancelled timer rings for nobody."""

    # --- moments -----------------------------------------------------------------------------------------------------

    def _ring(self, timer: asyncio.TimerHandle) -> None:
        if not (self._dead or timer.cancelled()):
            self._ready.append(timer)
            self.run_ready()

    def run_ready(self) -> None:
        """All that is ready, and what becomes ready by it."""
        self._planned = False
        before = events._get_running_loop()
        events._set_running_loop(self._as_loop)
        try:
            while self._ready:
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()
        finally:
            events._set_running_loop(before)
