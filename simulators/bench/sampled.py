"""`python -m simulators.bench.sampled OUT -- ARGUMENTS`: posd with its stacks looked at while it burns CPU.

The kernel's CPU timer (ITIMER_PROF) fires every few milliseconds of CPU time; the handler writes down what the event
loop's thread and the journal's writer are doing. That costs posd next to nothing, unlike a tracing profiler, and times
C code where it is called from. The samples become JSON at the end: {thread: {"a.py:f;b.py:g": times}}.
"""

import json
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType

INTERVAL_S = 0.002
STACK_MAX = 60
LOOP = "event loop"
FORGET = signal.SIGUSR1
"""The signal on which everything until now is forgotten."""


class Sampler:
    """Counts stacks by thread, innermost last."""

    def __init__(self) -> None:
        self.stacks: dict[str, Counter[str]] = {}

    def forget(self, _number: int, _frame: FrameType | None) -> None:
        """The handler of FORGET."""
        self.stacks.clear()

    def take(self, _number: int, frame: FrameType | None) -> None:
        """The handler of the signal; it runs in the main thread."""
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        main = threading.main_thread().ident
        for ident, top in sys._current_frames().items():
            own = ident == main
            counted = self.stacks.setdefault(LOOP if own else names.get(ident, "?"), Counter())
            counted[stack_of(frame if own else top)] += 1


def stack_of(frame: FrameType | None) -> str:
    """'file.py:function' from the outermost to the innermost frame, with ';' between."""
    names: list[str] = []
    while frame is not None and len(names) < STACK_MAX:
        code = frame.f_code
        folder = Path(code.co_filename).parent.name
        names.append(f"{folder}/{Path(code.co_filename).name}:{code.co_qualname}")
        frame = frame.f_back
    return ";".join(reversed(names))


def main(arguments: list[str]) -> int:
    """Run posd under the sampler; its own exit status."""
    from posd.__main__ import main as posd

    out, _, *rest = arguments
    sampler = Sampler()
    signal.signal(signal.SIGPROF, sampler.take)
    signal.signal(FORGET, sampler.forget)
    signal.setitimer(signal.ITIMER_PROF, INTERVAL_S, INTERVAL_S)
    try:
        return posd(rest)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        Path(out).write_text(json.dumps(sampler.stacks))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
