"""From measurements to figures, with the targets of the issue beside them; and a profile's samples as text. Pure."""

from collections import Counter
from collections.abc import Mapping

from simulators.bench.figures import Figure, Target, median, percentile
from simulators.bench.measures import Past, SideBySide, Starts, Upload

MIB = 1024 * 1024
MILLISECOND_NS = 1e6
COMMITS_EACH = 2
"""Two durable commits a transaction (D31): what the disk's own rate is divided by."""

SYNCS_MAX = 2.1
SYNCS_SHARED_MAX = 1.5
"""'Clearly fewer from 8 on': at most three quarters of the two that one terminal needs."""
SHARE_OF_DISK_MIN = 0.5
SHARE_OF_HOST_MIN = 0.7
RESIDENT_MIB_MAX = 60.0
READY_S_MAX = 0.5
RESTART_S_MAX = 1.0
VERIFY_ROWS_MIN = 150_000.0
SHARING_FROM, COMPARED_AT = 8, 64

PROFILE_LINES = 30

NOTES = """\
Terminals in a closed loop, one sale after the other, every answer decoded and judged after the clock stopped. A
terminal id makes 690 sales and is then left for a fresh one, so that nothing meets the marks of D22. The simulator is
the whole one (books, MACs): its own CPU time is the limit of the straight figures. posd, the simulator and the load
share the machine's cores. Restarts come from a page cache that is warm."""


def side_by_side(got: SideBySide) -> list[Figure]:
    """The figures of one number of terminals."""
    name = f"{got.terminals} terminal{'s' if got.terminals > 1 else ''}"
    disk_limit = got.disk_per_s / COMMITS_EACH
    compared = Target("at least", SHARE_OF_HOST_MIN) if got.terminals == COMPARED_AT else None
    bound = Target("at least", SHARE_OF_DISK_MIN) if got.terminals == 1 else None
    late = f"{got.posd.late} sales were encoded while the clock ran" if got.posd.late else ""
    straight_cpu_us = got.host_straight_cpu_s / len(got.straight.took_ns) * 1e6
    posd_cpu_us = got.host_posd_cpu_s / len(got.posd.took_ns) * 1e6
    return [
        Figure(f"{name}: disk, append + fdatasync", got.disk_per_s, "/s"),
        Figure(f"{name}: straight", got.straight.per_second, "txn/s"),
        *_latency(f"{name}: straight", got.straight.took_ns),
        Figure(f"{name}: posd", got.posd.per_second, "txn/s", note=late),
        *_latency(f"{name}: posd", got.posd.took_ns),
        Figure(f"{name}: posd / straight", got.posd.per_second / got.straight.per_second, "", compared),
        Figure(f"{name}: posd / disk limit", got.posd.per_second / disk_limit, "", bound, "two commits each"),
        *_syncs(name, got),
        Figure(f"{name}: CPU of posd", got.cpu_us, "µs/txn", note=f"event loop {got.loop_us:.0f}"),
        Figure(f"{name}: CPU of the simulator", straight_cpu_us, "µs/txn", note=f"through posd {posd_cpu_us:.0f}"),
        Figure(f"{name}: resident memory", got.resident / MIB, "MB", Target("at most", RESIDENT_MIB_MAX)),
        Figure(f"{name}: journal", got.journal_bytes, "bytes/txn"),
    ]


def _latency(name: str, took_ns: tuple[int, ...]) -> list[Figure]:
    return [
        Figure(f"{name} p50", percentile(took_ns, 0.50) / MILLISECOND_NS, "ms"),
        Figure(f"{name} p99", percentile(took_ns, 0.99) / MILLISECOND_NS, "ms"),
    ]


def _syncs(name: str, got: SideBySide) -> list[Figure]:
    target = None
    if got.terminals == 1:
        target = Target("at most", SYNCS_MAX)
    elif got.terminals >= SHARING_FROM:
        target = Target("at most", SYNCS_SHARED_MAX)
    if got.journal_syncs is None or got.anchor_syncs is None:
        return [Figure(f"{name}: fdatasync", None, "/txn", target, "strace is not installed")]
    return [Figure(f"{name}: fdatasync", got.journal_syncs, "/txn", target, f"the anchor's {got.anchor_syncs:.3f}")]


def ready(took: Starts) -> list[Figure]:
    """exec -> READY of an empty journal."""
    return [_start("exec -> READY, 1 terminal", took, READY_S_MAX)]


def _start(name: str, took: Starts, seconds_max: float) -> Figure:
    note = f"CPU {median(took.cpu_s):.2f}, slowest of {len(took.wall_s)} {max(took.wall_s):.2f}; SIGKILL between"
    return Figure(name, median(took.wall_s), "s", Target("at most", seconds_max), note)


def upload(got: Upload) -> list[Figure]:
    return [
        Figure(f"upload of {got.items} items", got.upload_s, "s", note=f"whole settlement {got.close_s:.2f}"),
    ]


def past(got: Past) -> list[Figure]:
    name = f"after {got.transactions} transactions"
    verified = f"{got.rows / got.verify_cpu_s:,.0f} a CPU second".replace(",", " ")
    return [
        _start(f"restart {name}", got.starts, RESTART_S_MAX),
        Figure(f"verify {name}", got.rows / got.verify_s, "rows/s", Target("at least", VERIFY_ROWS_MIN), verified),
        Figure(f"journal {name}", got.bytes_each, "bytes/txn", note=f"{got.rows / got.transactions:.1f} rows each"),
    ]


def no_past(transactions: int, why: str) -> list[Figure]:
    target = Target("at most", RESTART_S_MAX)
    return [Figure(f"restart after {transactions} transactions", None, "s", target, why)]


def profile(samples: Mapping[str, Mapping[str, int]]) -> str:
    """Each thread's functions by the share of its samples: alone, and with what they called."""
    lines = []
    for thread, stacks in samples.items():
        total = sum(stacks.values())
        alone: Counter[str] = Counter()
        within: Counter[str] = Counter()
        for stack, times in stacks.items():
            names = stack.split(";")
            alone[names[-1]] += times
            within.update(dict.fromkeys(names, times))
        lines.append(f"{thread}: {total} samples\n  alone")
        lines += [f"  {times / total:6.1%}  {name}" for name, times in alone.most_common(PROFILE_LINES)]
        lines.append("  with what they called")
        lines += [f"  {times / total:6.1%}  {name}" for name, times in within.most_common(2 * PROFILE_LINES)]
    return "\n".join(lines)
