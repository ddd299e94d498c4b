"""What a simulated host does later: held answers and echo storms, bounded in number and all cancelled together."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator

from simulators.host.connection import Connection

HELD_MAX = 10_000
STORM_UNSENT_BYTES_MAX = 262_144
STORM_TICK_S = 0.01
MILLISECONDS = 1_000


class Held:
    """The tasks of one server that wait for their time."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def full(self) -> bool:
        return len(self._tasks) >= HELD_MAX

    def __len__(self) -> int:
        return len(self._tasks)

    def later(self, ms: int, go_on: Callable[[], None]) -> None:
        """Call `go_on` after so many milliseconds."""

        async def wait() -> None:
            await asyncio.sleep(ms / MILLISECONDS)
            go_on()

        self.run(wait())

    def run(self, work: Coroutine[None, None, None]) -> None:
        """Keep a task until it is done or everything is dropped."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def drop(self) -> list[asyncio.Task[None]]:
        """Cancel everything; the tasks, for whoever wants to await their end."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        return tasks


async def pour(connection: Connection, frames: Iterator[bytes], rate: int, ms: int) -> int:
    """Send frames at a rate (a second) for a while; how many were sent. It waits for a peer that is slow."""
    loop, sent = asyncio.get_running_loop(), 0
    began = loop.time()
    while (past := loop.time() - began) < ms / MILLISECONDS:
        while sent <= past * rate and connection.unsent_bytes < STORM_UNSENT_BYTES_MAX:
            frame = next(frames, None)
            if frame is None or not connection.write(connection.framed(frame)):
                return sent
            sent += 1
        await asyncio.sleep(STORM_TICK_S)
    return sent
