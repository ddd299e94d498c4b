"""`python -m simulators.world --seeds 1..200`: live through seeds; `--seed N --trace`: read one as a transcript.

`--jobs N` lives through them in N processes at once. `--bug NAME` plants a bug of bugs.py first: then the seeds have to
fail.
"""

import argparse
import signal
import sys
import time
from collections import Counter

from posd.dialects import NAC, UNIONPAY
from simulators.world.bugs import BUGS
from simulators.world.many import live, outcomes
from simulators.world.nac.bugs import NAC_BUGS
from simulators.world.scene import Outcome

PROGRESS_EVERY = 50
JOBS_MAX = 64


def main() -> int:
    """Exit status 1 if a promise was broken in any seed."""
    options = _options()
    if options.seed is not None:
        return _one(options.seed, options.trace, options.bug, options.profile)
    first, last = options.begin or options.seeds[0], options.seeds[1]
    began, stats, failed = time.perf_counter(), Counter[str](), []
    with outcomes(range(first, last + 1), options.bug, options.jobs, options.profile) as lived:
        for done, outcome in enumerate(lived, 1):
            stats.update(outcome.stats)
            if outcome.violations:
                failed.append(outcome.seed)
                print(f"seed {outcome.seed}: {outcome.violations[0]}", flush=True)
            if done % PROGRESS_EVERY == 0:
                rate = done / (time.perf_counter() - began)
                print(f"{done} seeds, {len(failed)} failed, {rate:.1f} seeds a second", file=sys.stderr, flush=True)
    _report(last - first + 1, failed, time.perf_counter() - began, stats)
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulators.world", description=__doc__)
    parser.add_argument("--seeds", type=_range, default=(1, 200), help="FIRST..LAST (1..200)")
    parser.add_argument("--from", type=int, dest="begin", help="go on at this seed of --seeds")
    parser.add_argument("--seed", type=int, help="one seed")
    parser.add_argument("--jobs", type=_jobs, default=1, help="so many processes (1)")
    parser.add_argument("--profile", choices=(UNIONPAY, NAC), default=UNIONPAY, help="the dialect of its shops")
    parser.add_argument("--bug", choices=sorted({*BUGS, *NAC_BUGS}), help="plant this bug of the dialect first")
    parser.add_argument("--trace", action="store_true", help="print the transcript of --seed")
    options = parser.parse_args()
    if options.bug is not None and options.bug not in (NAC_BUGS if options.profile == NAC else BUGS):
        parser.error(f"--bug {options.bug} is of the other dialect")
    return options


def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= JOBS_MAX:
        raise argparse.ArgumentTypeError(f"write a number from 1 to {JOBS_MAX}")
    return int(text)


def _range(text: str) -> tuple[int, int]:
    first, separator, last = text.partition("..")
    if not (first.isdecimal() and (last.isdecimal() or not separator)):
        raise argparse.ArgumentTypeError("write it as 1..200")
    return int(first), int(last or first)


def _one(seed: int, trace: bool, bug: str | None, profile: str) -> int:
    outcome = live(seed, bug, profile, traced=trace)
    for line in outcome.transcript:
        print(line)
    print(_summary(outcome))
    return 1 if outcome.violations else 0


def _summary(outcome: Outcome) -> str:
    stats = ", ".join(f"{name}: {count}" for name, count in sorted(outcome.stats.items()))
    verdict = "; ".join(outcome.violations) or "every promise was kept"
    return f"seed {outcome.seed}: {verdict}\n{outcome.faults}\n{stats}"


def _report(seeds: int, failed: list[int], seconds: float, stats: Counter[str]) -> None:
    for name, count in sorted(stats.items()):
        print(f"{name:40} {count}")
    print(f"{seeds} seeds in {seconds:.1f} s ({seeds / seconds:.1f} a second), failed: {failed or 'none'}")


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # in a pipe whose reader has seen enough
    sys.exit(main())
