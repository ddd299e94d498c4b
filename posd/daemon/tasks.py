"""Tasks whose failure is never silent: a bug in a shell must end the process, not one half of a link.

The event loop's exception handler gets what a task raised (daemon/assemble.py sets one that stops posd); it
must never be swallowed here. Cancelling is no failure.
"""

import asyncio
from collections.abc import Coroutine


def spawn(work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
    """Run `work` in the running loop; whatever it raises goes to the loop's exception handler."""
    task = asyncio.get_running_loop().create_task(work, name=name)
    task.add_done_callback(_report)
    return task


async def end(task: asyncio.Task[None]) -> None:
    """Cancel `task` and return when it is over; what it raised has been reported by `spawn`."""
    task.cancel()
    await asyncio.wait([task])


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        task.get_loop().call_exception_handler(
            {"message": f"task {task.get_name()} failed", "exception": error, "task": task}
        )
