"""`python -m simulators.terminal.load`: many terminals in a closed loop over real sockets, and what they measured.

Bounded in time (--seconds) and count (--count). Exit status 0; 1 when nothing was answered; 2 on misuse.
"""

import argparse
import asyncio
import json
import math
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from posd.errors import ConfigError
from simulators.host.__main__ import listen_address
from simulators.terminal.client import TerminalClient
from simulators.terminal.core import Terminal
from simulators.terminal.driver import KINDS, Driver, Plan
from simulators.terminal.tally import Tally, as_table

EXIT_NOTHING_ANSWERED, EXIT_UNUSABLE = 1, 2
TERMINALS_MAX, SECONDS_MAX, COUNT_MAX, RATE_MAX = 1_000, 86_400.0, 10_000_000, 100_000.0
COUNT = 200_000
STAN_COUNT = 999_999
TEST_TMK = "0123456789ABCDEFFEDCBA9876543210"
MID = "898100012345678"
CARD = "6225880000000005:3012"
PROGRAM = "python -m simulators.terminal.load"


@dataclass(frozen=True, slots=True)
class Load:
    """One run: who connects where, what they do, and when it is over. `rate`: steps a second of all together."""

    host: str
    port: int
    terminals: tuple[Terminal, ...]
    plan: Plan
    seconds: float
    count: int = COUNT
    rate: float | None = None
    seed: int = 0


async def run_load(load: Load, stop: asyncio.Event | None = None) -> dict[str, object]:
    """Make the run; the report of `Tally.report`. `stop` ends it early: what is on the way is still finished."""
    loop, tally, left = asyncio.get_running_loop(), Tally(), load.count
    began = loop.time()
    end = began + load.seconds

    def go() -> bool:
        nonlocal left
        if left <= 0 or loop.time() >= end or (stop is not None and stop.is_set()):
            return False
        left -= 1
        return True

    drivers = [
        Driver(
            TerminalClient(terminal, load.host, load.port, load.plan.timeout_s),
            load.plan,
            tally,
            Random(f"{load.seed}|{terminal.tid}"),
        )
        for terminal in load.terminals
    ]
    await asyncio.gather(*(one.run(go, _pace(load, index, end)) for index, one in enumerate(drivers)))
    return tally.report(len(drivers), loop.time() - began)


def _pace(load: Load, index: int, end: float) -> Callable[[], Awaitable[None]]:
    """Waits for this terminal's turn at the wanted rate; one that is late goes at once and never catches up."""
    loop, turn = asyncio.get_running_loop(), 0.0
    between = len(load.terminals) / load.rate if load.rate else 0.0

    async def pace() -> None:
        nonlocal turn
        now = loop.time()
        turn = max(turn + between, now) if turn else now + between * index / len(load.terminals)
        if between and turn > now:
            await asyncio.sleep(min(turn, end) - now)

    return pace


def main(arguments: list[str] | None = None) -> int:
    """The command; `arguments` default to the process's own."""
    options = _parser().parse_args(arguments)
    try:
        if options.print_config:
            print(host_configuration(terminals_of(options), cards_of(options.card), options.tmk or TEST_TMK))
            return 0
        load = _load(options)
    except ConfigError as trouble:
        print(f"load: {trouble}", file=sys.stderr)
        return EXIT_UNUSABLE
    report = asyncio.run(_interruptible(load))
    print(json.dumps(report) if options.json else as_table(report))
    hint = _hint(report, options)
    if hint:
        print(f"load: {hint}", file=sys.stderr)
    return 0 if report["codes"] else EXIT_NOTHING_ANSWERED


async def _interruptible(load: Load) -> dict[str, object]:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return await run_load(load, stop)


def _hint(report: dict[str, object], options: argparse.Namespace) -> str:
    """What to look at when a run was all in vain."""
    codes = report["codes"]
    assert isinstance(codes, dict)
    if not codes:
        return f"nothing was answered: is anybody listening on {options.connect}?"
    if codes.get("97") == sum(codes.values()):
        return "every answer was 97: the host does not know these terminals; see --tid-from, --mid and --print-config"
    if not options.tmk and codes.get("A0") == report["transactions"]:
        return "every transaction was answered A0: a host that checks MACs needs --tmk"
    return ""


def _load(options: argparse.Namespace) -> Load:
    if options.connect is None:
        raise ConfigError("--connect HOST:PORT is missing: the simulator, or posd's door")
    host, port = listen_address(options.connect)
    _between("--seconds", options.seconds, 0.0, SECONDS_MAX)
    _between("--timeout-s", options.timeout_s, 0.0, SECONDS_MAX)
    _between("--count", options.count, 1, COUNT_MAX)
    if options.rate is not None:
        _between("--rate", options.rate, 0.001, RATE_MAX)
    plan = Plan(mix_of(options.mix), cards_of(options.card), options.timeout_s, time.strftime("%m%d"))
    return Load(host, port, terminals_of(options), plan, options.seconds, options.count, options.rate, options.seed)


def mix_of(text: str) -> dict[str, int]:
    """'sale=8,void=1' as weights. ConfigError otherwise."""
    weights: dict[str, int] = {}
    for part in text.split(","):
        kind, _, weight = part.strip().partition("=")
        if kind not in KINDS or kind in weights or not (weight.isascii() and weight.isdecimal() and len(weight) < 7):
            raise ConfigError(
                f"--mix: kinds are {', '.join(KINDS)}, each once with a weight, for example sale=8,void=1"
            )
        weights[kind] = int(weight)
    if sum(weights.values()) == 0:
        raise ConfigError("--mix: every weight is 0; give one of them more")
    return weights


def cards_of(texts: list[str]) -> tuple[tuple[str, str], ...]:
    """PAN:EXPIRY each. ConfigError otherwise, without the number."""
    cards = []
    for text in texts or [CARD]:
        pan, _, expiry = text.partition(":")
        if not (
            text.isascii() and pan.isdecimal() and 13 <= len(pan) <= 19 and expiry.isdecimal() and len(expiry) == 4
        ):
            raise ConfigError("--card: PAN:EXPIRY expected, 13 to 19 digits and YYMM")
        cards.append((pan, expiry))
    return tuple(cards)


def terminals_of(options: argparse.Namespace) -> tuple[Terminal, ...]:
    """N terminals with consecutive numbers. ConfigError otherwise."""
    _between("--terminals", options.terminals, 1, TERMINALS_MAX)
    first, mid, tmk = options.tid_from, options.mid, options.tmk
    if not (first.isascii() and first.isdecimal() and len(first) == 8 and int(first) + options.terminals <= 10**8):
        raise ConfigError("--tid-from: 8 digits expected, with room for --terminals numbers")
    if len(mid) != 15 or not (mid.isascii() and mid.isalnum()):
        raise ConfigError("--mid: 15 characters expected")
    if tmk is not None and (len(tmk) not in (16, 32) or any(digit not in "0123456789ABCDEFabcdef" for digit in tmk)):
        raise ConfigError("--tmk: 16 or 32 hexadecimal digits expected; a test key only")
    if options.stan is not None:
        _between("--stan", options.stan, 1, STAN_COUNT)
    stan = options.stan or time.time_ns() // 1_000_000 % STAN_COUNT + 1
    key = bytes.fromhex(tmk) if tmk else None
    return tuple(Terminal(f"{int(first) + index:08d}", mid, key, stan=stan) for index in range(options.terminals))


def host_configuration(terminals: tuple[Terminal, ...], cards: tuple[tuple[str, str], ...], tmk: str) -> str:
    """A configuration of posd-host-sim that knows these terminals and cards."""
    rows = [f'  - {{tid: "{one.tid}", mid: "{one.mid}", tmk: "{tmk}"}}' for one in terminals]
    accounts = [f'  - {{pan: "{pan}", balance: "99999999.00", expiry: "{expiry}"}}' for pan, expiry in cards]
    return "\n".join(["# for python -m simulators.terminal.load", "terminals:", *rows, "cards:", *accounts])


def _between(name: str, value: float, low: float, high: float) -> None:
    if not math.isfinite(value) or not low <= value <= high:
        raise ConfigError(f"{name}: from {low:g} to {high:g} expected")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Many card terminals in a closed loop.")
    parser.add_argument("--connect", metavar="HOST:PORT", help="the simulator, or posd's door")
    parser.add_argument("--terminals", type=int, default=1, metavar="N")
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S")
    parser.add_argument("--count", type=int, default=COUNT, help="steps of all terminals at most")
    parser.add_argument("--rate", type=float, help="steps a second of all together; without it: as fast as answered")
    parser.add_argument("--mix", default="sale=8,void=1,balance=1", help=f"weights of {', '.join(KINDS)}")
    parser.add_argument("--tid-from", default="10000001", help="the first terminal number; the others follow")
    parser.add_argument("--mid", default=MID)
    parser.add_argument("--tmk", help="test TMK in hex; without it: no MAC (posd's door on loopback)")
    parser.add_argument("--card", action="append", default=[], metavar="PAN:EXPIRY", help="may be repeated")
    parser.add_argument("--stan", type=int, help="the first trace number; without it: by the clock")
    parser.add_argument("--timeout-s", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--print-config", action="store_true", help="a host-sim configuration with these terminals")
    return parser


if __name__ == "__main__":
    sys.exit(main())
