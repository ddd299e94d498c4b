"""`python -m simulators.terminal`: a terminal driven by JSON lines.

Each line on standard input is a step ({"do": "sale", "amount": "12.34", "card": "...", "expiry": "3012"}); each gets
one JSON line on standard output. Ends with the input: status 0, or 2 when an argument or a line is unusable.
"""

import argparse
import asyncio
import json
import sys
from typing import get_args

from posd.errors import ConfigError
from simulators.host.__main__ import listen_address
from simulators.macs import Keying
from simulators.terminal.client import TIMEOUT_S, TerminalClient
from simulators.terminal.core import Terminal
from simulators.terminal.steps import listing

EXIT_UNUSABLE = 2
EXAMPLE = """amounts are decimals ("12.34"); every step may have timeout_s; with a card: pin, entry, sequence

example:
  {"do": "preauth", "amount": "100.00", "card": "6225880000000005", "expiry": "3012", "entry": "051"}
  {"do": "complete", "of_stan": 2, "amount": "110.00"}"""


def main(arguments: list[str] | None = None) -> int:
    """The command; `arguments` default to the process's own."""
    options = _parser().parse_args(arguments)
    try:
        host, port = listen_address(options.connect)
        terminal = _terminal(options)
    except ConfigError as trouble:
        print(f"terminal: {trouble}", file=sys.stderr)
        return EXIT_UNUSABLE
    return asyncio.run(_run(TerminalClient(terminal, host, port, options.timeout_s)))


async def _run(client: TerminalClient) -> int:
    loop, bad = asyncio.get_running_loop(), 0
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        if not line.strip():
            continue
        try:
            step = json.loads(line)
        except ValueError:
            step = None
        if not isinstance(step, dict):
            bad = EXIT_UNUSABLE
            print(json.dumps({"do": None, "outcome": "bad_step", "why": "a JSON object expected"}), flush=True)
            continue
        print(json.dumps(await client.do(step)), flush=True)
    await client.close()
    return bad


def _terminal(options: argparse.Namespace) -> Terminal:
    try:
        tmk = bytes.fromhex(options.tmk) if options.tmk else None
    except ValueError:
        raise ConfigError("--tmk: hexadecimal digits expected") from None
    if tmk is not None and len(tmk) not in (8, 16):
        raise ConfigError("--tmk: 16 or 32 hexadecimal digits expected")
    if len(options.tid) != 8 or len(options.mid) != 15:
        raise ConfigError("--tid has 8 characters, --mid 15")
    keying = Keying(**{name: getattr(options, name) for name in Keying.model_fields})
    return Terminal(options.tid, options.mid, tmk, options.batch, options.stan, options.sign_in_code, keying=keying)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m simulators.terminal",
        description="A card terminal driven by JSON lines.",
        epilog=f"{EXAMPLE}\n\nsteps and what they need:\n{listing()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--connect", required=True, metavar="HOST:PORT")
    parser.add_argument("--tid", required=True)
    parser.add_argument("--mid", required=True)
    parser.add_argument("--tmk", help="test TMK in hex; without it: no MAC, no PIN")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--stan", type=int, default=1, help="the first trace number")
    parser.add_argument("--sign-in-code", default="003", choices=["001", "003", "004", "006"])
    for name, field in Keying.model_fields.items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, default=field.default, choices=get_args(field.annotation), help="as the host's")
    parser.add_argument("--timeout-s", type=float, default=TIMEOUT_S, dest="timeout_s")
    return parser


if __name__ == "__main__":
    sys.exit(main())
