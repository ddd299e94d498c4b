"""`posd-host-sim`: the simulated acquirer as a process. One JSON line an event on standard output, masked.

Exit status 0 after SIGTERM or SIGINT, 2 (and one line on standard error) when it cannot start.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path

from posd.errors import ConfigError
from posd.yamlmarks import load_model
from simulators.host.dialects import AnyAcquirer, open_acquirer
from simulators.host.event_lines import printer
from simulators.host.faults import Faults
from simulators.host.scenario import find, laid_over, listing
from simulators.host.server import HostServer, serve_until
from simulators.host.settings import HostSettings
from simulators.host.state import StateUnusable, restore
from simulators.host.watch import OwnView, Screen, attach
from simulators.host.web import Web, server_context

EXIT_CANNOT_START = 2
PORT_MAX = 65_535
NOTHING_TO_DO = (
    "posd-host-sim: give --config FILE to serve (see config/host-sim.example.yaml), "
    "--watch --books FILE to look at a running one, or --list-scenarios"
)


def main(arguments: list[str] | None = None) -> int:
    """The command; `arguments` default to the process's own."""
    options = _parser().parse_args(arguments)
    try:
        return _do(options)
    except ConfigError as trouble:
        print(trouble, file=sys.stderr)
        return EXIT_CANNOT_START


def _do(options: argparse.Namespace) -> int:
    if options.list_scenarios:
        print(listing())
        return 0
    if options.config is None and options.watch and options.books:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            attach(options.books, Screen.on(sys.stdout), once=options.once)
        return 0
    if options.config is None:
        raise ConfigError(NOTHING_TO_DO)
    if options.once:
        raise ConfigError("posd-host-sim: --once looks at the books of a running one: --watch --books FILE --once")
    settings = laid_over(load_model(options.config, HostSettings), [find(name) for name in options.scenario])
    addresses = [listen_address(text) for text in options.listen or settings.listen]
    web = web_of(options)
    seed = settings.seed if options.seed is None else options.seed
    acquirer, faults = open_acquirer(settings, seed), Faults(settings.faults, seed)
    if options.state is not None:
        load_state(options.state, acquirer, faults)
    try:
        asyncio.run(_run(acquirer, faults, options, addresses, web))
    except OSError as trouble:
        where = ", ".join(f"{host}:{port}" for host, port in addresses)
        raise ConfigError(f"posd-host-sim: cannot listen on {where}: {trouble.strerror}") from None
    return 0


def listen_address(text: str) -> tuple[str, int]:
    """'127.0.0.1:5000' as host and port; port 0 takes a free one. ConfigError otherwise."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdecimal()) or int(port) > PORT_MAX:
        raise ConfigError(f"listen: {text!r} is not HOST:PORT, for example 127.0.0.1:5000")
    return host.strip("[]"), int(port)


def load_state(path: Path, acquirer: AnyAcquirer, faults: Faults) -> None:
    """Go on with the state of an earlier run; without the file the books are empty. ConfigError otherwise."""
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        if not path.absolute().parent.is_dir():
            raise ConfigError(f"--state: {path}: its folder is missing; create it") from None
        return
    except OSError as trouble:
        raise ConfigError(f"--state: {path}: {(trouble.strerror or 'cannot be read').lower()}") from None
    except ValueError:
        document = None
    try:
        restore(document, acquirer, faults)
    except StateUnusable as trouble:
        raise ConfigError(f"--state: {path}: {trouble}") from None


def web_of(options: argparse.Namespace) -> Web | None:
    """How HTTP is spoken, if at all. ConfigError for what does not fit together."""
    if not options.https and not options.tls:
        if options.certificate or options.key or options.client_ca:
            raise ConfigError("--certificate, --key and --client-ca belong to --https or --tls; add one")
        return Web() if options.http else None
    if options.certificate is None or options.key is None:
        raise ConfigError("--https and --tls need --certificate FILE and --key FILE (PEM)")
    context = server_context(options.certificate, options.key, options.client_ca)
    return Web(context, frames=options.tls and not options.https)


async def _run(
    acquirer: AnyAcquirer,
    faults: Faults,
    options: argparse.Namespace,
    addresses: list[tuple[str, int]],
    web: Web | None,
) -> None:
    view = OwnView(Screen.on(sys.stdout), acquirer) if options.watch else None
    emit = view.emit if view is not None else printer(options.quiet)
    server = HostServer(acquirer, faults, emit=emit, books=options.books, state=options.state, web=web)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    drawing = asyncio.create_task(view.run()) if view is not None else None
    try:
        await serve_until(stop, server, addresses)
    finally:
        if drawing is not None:
            drawing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await drawing


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="posd-host-sim", description="A simulated acquirer (UnionPay or NAC) to test a terminal or posd against."
    )
    parser.add_argument(
        "--config", type=Path, help="YAML file; see config/host-sim.example.yaml, host-sim-nac.example.yaml"
    )
    parser.add_argument(
        "--listen",
        action="append",
        metavar="HOST:PORT",
        help="instead of the file's; port 0 takes a free one; several are routes to one host",
    )
    parser.add_argument("--books", type=Path, help="write the books here as JSON after every message")
    parser.add_argument("--state", type=Path, help="keep everything here, and go on with it after a restart or kill")
    parser.add_argument("--https", action="store_true", help="one POST, one frame, over TLS")
    parser.add_argument("--tls", action="store_true", help="frames as on TCP, over TLS")
    parser.add_argument("--http", action="store_true", help="the same without TLS, for tests on one machine")
    parser.add_argument("--certificate", type=Path, help="with --https or --tls: the host's certificate, PEM")
    parser.add_argument("--key", type=Path, help="with --https or --tls: its key, PEM")
    parser.add_argument("--client-ca", type=Path, help="with them: clients need a certificate of this authority")
    parser.add_argument("--seed", type=int, help="keys and chances; instead of the file's")
    parser.add_argument("--quiet", action="store_true", help="print only the address it listens on")
    parser.add_argument(
        "--scenario", action="append", default=[], metavar="NAME", help="a bad day on top of --config; may be repeated"
    )
    parser.add_argument("--list-scenarios", action="store_true", help="what bad days there are")
    parser.add_argument("--watch", action="store_true", help="a live view instead of JSON lines")
    parser.add_argument("--once", action="store_true", help="with --watch --books FILE: print the view once and end")
    return parser


if __name__ == "__main__":
    sys.exit(main())
