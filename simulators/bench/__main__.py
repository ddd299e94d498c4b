"""`python -m simulators.bench`: the table of issue 3, part 7, or the same as JSON. Progress goes to standard error.

Exit status: 0 measured (reached or missed, the table says which); 2 it cannot begin; 3 it broke off.
"""

import argparse
import asyncio
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

from posd.errors import PosdError
from simulators.bench import measures, report, stage
from simulators.bench.figures import BenchTrouble, Figure, table
from simulators.bench.process_facts import is_in_memory

TERMINALS = (1, 8, 64, 256)
TERMINALS_MAX = 900
SECONDS, SECONDS_QUICK = 3.0, 1.0
ROUNDS, ROUNDS_QUICK = 2, 1
STARTS, STARTS_QUICK = 5, 2
PASTS, PASTS_QUICK = (100_000, 1_000_000), (100_000,)
BYTES_A_TRANSACTION = 8_192
FOLDER_DEFAULT = Path("/var/tmp")
EXIT_CANNOT_BEGIN, EXIT_BROKE_OFF = 2, 3


def main(arguments: list[str] | None = None) -> int:
    """The command; `arguments` default to the process's own."""
    options = _parser().parse_args(arguments)
    try:
        base = _base(options.dir)
    except BenchTrouble as trouble:
        print(f"bench: {trouble}", file=sys.stderr)
        return EXIT_CANNOT_BEGIN
    folder = Path(tempfile.mkdtemp(prefix="posd-bench-", dir=base))
    _compile_once(folder)
    try:
        if options.profile:
            print(asyncio.run(_profile(options, folder)))
            return 0
        figures = asyncio.run(_measure(options, folder))
    except (BenchTrouble, PosdError, OSError) as trouble:
        print(f"bench: {trouble}", file=sys.stderr)
        return EXIT_BROKE_OFF
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        print(json.dumps({"machine": _machine(), "figures": [figure.as_dict() for figure in figures]}, indent=1))
    else:
        print(f"{_machine()}\n\n{table(figures)}\n\n{report.NOTES}")
    return 0


async def _measure(options: argparse.Namespace, folder: Path) -> list[Figure]:
    """Every measurement, one after the other: they share two cores and one disk."""
    seconds = options.seconds or (SECONDS_QUICK if options.quick else SECONDS)
    rounds = ROUNDS_QUICK if options.quick else ROUNDS
    figures: list[Figure] = []
    for terminals in options.terminals:
        _say(f"{terminals} terminals: {rounds} times {seconds:g} s each way")
        place = folder / f"terminals-{terminals}"
        figures += report.side_by_side(
            await measures.side_by_side(place, terminals, seconds, rounds, options.door_mac, _say)
        )
        shutil.rmtree(place)
    _say("starting, 1 terminal")
    starts = STARTS_QUICK if options.quick else STARTS
    figures += report.ready(_empty_starts(folder / "empty", starts))
    figures += report.upload(await measures.upload(folder / "upload", options.items, _say))
    for transactions in options.pasts if options.pasts is not None else PASTS_QUICK if options.quick else PASTS:
        figures += _past(folder / f"past-{transactions}", transactions, starts)
    return figures


def _empty_starts(folder: Path, times: int) -> measures.Starts:
    place = stage.posd_place(folder, measures.ids("6", 1), stage.free_port(), measures.SPARE_IDS)
    return measures.starts(place, times)


def _past(folder: Path, transactions: int, starts: int) -> list[Figure]:
    free = shutil.disk_usage(folder.parent).free
    if free < transactions * BYTES_A_TRANSACTION:
        needed = transactions * BYTES_A_TRANSACTION >> 30
        return report.no_past(transactions, f"the disk has {free >> 30} GB free and {needed} GB are needed")
    past = measures.restart(folder, transactions, starts, _say)
    shutil.rmtree(folder)
    return report.past(past)


async def _profile(options: argparse.Namespace, folder: Path) -> str:
    seconds = options.seconds or SECONDS
    parts = []
    for terminals in options.terminals:
        _say(f"{terminals} terminals under the sampler, {seconds:g} s")
        out, done = await measures.sampled(folder / f"profile-{terminals}", terminals, seconds, options.door_mac)
        parts.append(f"{terminals} terminals, {done.per_second:.0f} transactions/s under the sampler\n")
        parts.append(report.profile(json.loads(out.read_text())))
    return "\n".join(parts)


def _base(given: Path | None) -> Path:
    """Where to work. BenchTrouble: it is no folder, or it stays in memory and nobody asked for that."""
    folder = given or FOLDER_DEFAULT
    if not folder.is_dir():
        raise BenchTrouble(f"{folder}: no such folder; give one on the disk to measure with --dir")
    if is_in_memory(folder):
        if given is None:
            raise BenchTrouble(f"{folder} is in memory, where a sync costs nothing; give a folder on a disk with --dir")
        _say(f"{folder} is in memory, as asked: what is said of the disk is then not true of any disk")
    return folder


def _compile_once(folder: Path) -> None:
    """Children find compiled modules, as an installed posd does, whatever this shell says of writing them."""
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
        os.environ.setdefault("PYTHONPYCACHEPREFIX", str(folder / "compiled"))


def _machine() -> str:
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {load}"


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _sizes(text: str) -> tuple[int, ...]:
    sizes = tuple(int(part) for part in text.split(","))
    if not all(1 <= size <= TERMINALS_MAX for size in sizes):
        raise ValueError("terminals")
    return sizes


def _counts(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",") if part)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m simulators.bench", description="posd and the simulated acquirer side by side, on a real disk."
    )
    parser.add_argument("--quick", action="store_true", help="shorter passes, and no past of a million transactions")
    parser.add_argument("--json", action="store_true", help="the figures as JSON instead of a table")
    parser.add_argument("--terminals", type=_sizes, default=TERMINALS, metavar="1,8,64,256")
    parser.add_argument("--seconds", type=float, help="of each pass; each number of terminals has several")
    parser.add_argument("--dir", type=Path, help=f"work below this folder; without it {FOLDER_DEFAULT}, if on a disk")
    parser.add_argument("--door-mac", choices=["none", "required"], default="none", help="posd's mac for its terminals")
    parser.add_argument("--pasts", type=_counts, metavar="100000,1000000", help="restarts after so many transactions")
    parser.add_argument("--items", type=int, default=measures.UPLOAD_ITEMS, help="items of the batch upload")
    parser.add_argument("--profile", action="store_true", help="only sample where posd spends its CPU time")
    return parser


if __name__ == "__main__":
    sys.exit(main())
