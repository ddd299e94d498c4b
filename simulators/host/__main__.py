"""`posd-host-sim`: the simulated acquirer as a process. One JSON line an event on standard output, masked.

Exit status 0 after SIGTERM or SIGINT, 2 (and one line on standard error) when it cannot start.
"""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from posd.errors import ConfigError
from posd.yamlmarks import load_model
from simulators.host.acquirer import Acquirer
from simulators.host.event_lines import printer
from simulators.host.faults import Faults
from simulators.host.server import HostServer, serve_until
from simulators.host.settings import HostSettings

EXIT_CANNOT_START = 2
PORT_MAX = 65_535


def main(arguments: list[str] | None = None) -> int:
    """The command; `arguments` default to the process's own."""
    options = _parser().parse_args(arguments)
    try:
        settings = load_model(options.config, HostSettings)
        host, port = listen_address(options.listen or settings.listen)
    except ConfigError as trouble:
        print(trouble, file=sys.stderr)
        return EXIT_CANNOT_START
    try:
        asyncio.run(_run(settings, options, host, port))
    except OSError as trouble:
        print(f"posd-host-sim: cannot listen on {host}:{port}: {trouble.strerror}", file=sys.stderr)
        return EXIT_CANNOT_START
    return 0


def listen_address(text: str) -> tuple[str, int]:
    """'127.0.0.1:5000' as host and port; port 0 takes a free one. ConfigError otherwise."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdecimal()) or int(port) > PORT_MAX:
        raise ConfigError(f"listen: {text!r} is not HOST:PORT, for example 127.0.0.1:5000")
    return host.strip("[]"), int(port)


async def _run(settings: HostSettings, options: argparse.Namespace, host: str, port: int) -> None:
    seed = settings.seed if options.seed is None else options.seed
    server = HostServer(
        Acquirer(settings, seed), Faults(settings.faults, seed), emit=printer(options.quiet), books=options.books
    )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve_until(stop, server, host, port)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="posd-host-sim", description="A simulated UnionPay acquirer to test a terminal or posd against."
    )
    parser.add_argument("--config", type=Path, required=True, help="YAML file; see config/host-sim.example.yaml")
    parser.add_argument("--listen", help="HOST:PORT instead of the file's; port 0 takes a free one")
    parser.add_argument("--books", type=Path, help="write the books here as JSON after every message")
    parser.add_argument("--seed", type=int, help="keys and chances; instead of the file's")
    parser.add_argument("--quiet", action="store_true", help="print only the address it listens on")
    return parser


if __name__ == "__main__":
    sys.exit(main())
