"""Many seeds, in one process or in several: where they are lived through must change nothing of what they come to.

Each seed stands alone, so they share nothing but the order in which they are told.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context

from posd.daemon.log import set_up
from posd.dialects import NAC, UNIONPAY
from simulators.world.bugs import BUGS
from simulators.world.nac import run as run_nac
from simulators.world.nac.bugs import NAC_BUGS
from simulators.world.planting import nothing
from simulators.world.scene import Outcome, run

SEEDS_AT_ONCE = 10
"""So many a process takes at a time."""


def live(seed: int, bug: str | None = None, profile: str = UNIONPAY, *, traced: bool = False) -> Outcome:
    """One seed of the world of this dialect, with the bug of this name planted for its length."""
    set_up(level="error")
    if profile == NAC:
        with NAC_BUGS[bug]() if bug is not None else nothing():
            return run_nac(seed, traced=traced)
    if bug is None:
        return run(seed, traced=traced)
    planted = BUGS[bug]
    with planted.plant():
        return run(seed, planted.faults, machine=planted.machine, adjust=planted.adjust, traced=traced)


@contextmanager
def outcomes(
    seeds: range, bug: str | None = None, jobs: int = 1, profile: str = UNIONPAY
) -> Iterator[Iterable[Outcome]]:
    """In the order of the seeds, whoever lived through them. BrokenProcessPool: a process died, and nothing is known
    of its seeds."""
    one = partial(live, bug=bug, profile=profile)
    if jobs == 1:
        yield map(one, seeds)
        return
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        yield pool.map(one, seeds, chunksize=SEEDS_AT_ONCE)
