"""`python -m simulators.terminal`: a terminal driven by JSON lines.

Each line on standard input is a step ({"do": "sale", "amount": "12.34", "card": "...", "expiry": "3012"}); each gets
one JSON line on standard output. Ends with the input: status 0, or 2 when an argument or a line is unusable.
"""

import argparse
import asyncio
import json
import ssl
import sys
from pathlib import Path
from typing import get_args

from posd.errors import ConfigError
from posd.iso8583.codec import Codec
from posd.iso8583.nac import VariablePad, nac_spec
from simulators.host.__main__ import listen_address
from simulators.macs import Keying
from simulators.serial_line.where import is_serial, serial_at
from simulators.terminal.client import TerminalClient
from simulators.terminal.core import Terminal
from simulators.terminal.line import TIMEOUT_S
from simulators.terminal.nac_client import NacClient
from simulators.terminal.nac_client import listing as nac_listing
from simulators.terminal.nac_core import NacTerminal
from simulators.terminal.steps import listing
from simulators.wire_form import WireForm

EXIT_UNUSABLE = 2
TLS = "tls://"
EXAMPLE = """amounts are decimals ("12.34"); every step may have timeout_s; with a card: pin, entry, sequence

example:
  {"do": "preauth", "amount": "100.00", "card": "6225880000000005", "expiry": "3012", "entry": "051"}
  {"do": "complete", "of_stan": 2, "amount": "110.00"}"""


def main(arguments: list[str] | None = None) -> int:
    """The command; `arguments` default to the process's own."""
    options = _parser().parse_args(arguments)
    try:
        client = _client(options)
    except ConfigError as trouble:
        print(f"terminal: {trouble}", file=sys.stderr)
        return EXIT_UNUSABLE
    return asyncio.run(_run(client))


def _client(options: argparse.Namespace) -> TerminalClient | NacClient:
    """The terminal of --profile. ConfigError for an argument that it cannot use."""
    if len(options.tid) != 8 or len(options.mid) != 15:
        raise ConfigError("--tid has 8 characters, --mid 15")
    serial = serial_at(options.connect) if is_serial(options.connect) else None
    host, port = listen_address(options.connect.removeprefix(TLS)) if serial is None else ("", 0)
    client: TerminalClient | NacClient
    if options.profile == "nac":
        client = NacClient(_nac_terminal(options), host, port, options.timeout_s, serial=serial)
    else:
        client = TerminalClient(_terminal(options), host, port, options.timeout_s, serial=serial)
    client.tls, client.server_name = _tls(options), options.server_name
    return client


def _tls(options: argparse.Namespace) -> ssl.SSLContext | None:
    """What this terminal demands of posd's door, and shows to it."""
    if not options.connect.startswith(TLS):
        if options.ca or options.certificate or options.key or options.server_name:
            raise ConfigError(f"--ca, --certificate, --key and --server-name belong to --connect {TLS}HOST:PORT")
        return None
    try:
        context = ssl.create_default_context(cafile=options.ca)
        if options.certificate is not None:
            context.load_cert_chain(options.certificate, options.key)
    except OSError as error:  # an SSLError is one
        why = (error.strerror or "cannot be read").lower()
        raise ConfigError(f"--ca, --certificate, --key: {why}; give PEM files that belong together") from None
    return context


async def _run(client: TerminalClient | NacClient) -> int:
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


def _key(options: argparse.Namespace, name: str, lengths: tuple[int, ...]) -> bytes | None:
    text = getattr(options, name)
    option = f"--{name.replace('_', '-')}"
    try:
        key = bytes.fromhex(text) if text else None
    except ValueError:
        raise ConfigError(f"{option}: hexadecimal digits expected") from None
    if key is not None and len(key) not in lengths:
        digits = " or ".join(str(2 * length) for length in lengths)
        raise ConfigError(f"{option}: {digits} hexadecimal digits expected")
    return key


def _nac_terminal(options: argparse.Namespace) -> NacTerminal:
    if not (len(options.nii) == 3 and options.nii.isascii() and options.nii.isdecimal()):
        raise ConfigError("--nii has 3 digits")
    if options.ascii_wire and options.mac_key:
        raise ConfigError("--mac-key: the ASCII wire carries no MAC")
    return NacTerminal(
        options.tid,
        options.mid,
        options.nii,
        options.batch,
        options.stan,
        options.invoice,
        options.totals_digits,
        _key(options, "mac_key", (16,)) or b"",
        Keying(**{name: getattr(options, name) for name in Keying.model_fields}),
        Codec(nac_spec(pad=VariablePad(options.pad), ascii_wire=options.ascii_wire)),
    )


def _terminal(options: argparse.Namespace) -> Terminal:
    tmk = _key(options, "tmk", (8, 16))
    keying = Keying(**{name: getattr(options, name) for name in Keying.model_fields})
    sign_in_code, codec = options.sign_in_code, WireForm().codec(keying.sm4_pin_block_bytes)
    return Terminal(options.tid, options.mid, tmk, options.batch, options.stan, sign_in_code, codec, keying=keying)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m simulators.terminal",
        description="A card terminal driven by JSON lines.",
        epilog=f"{EXAMPLE}\n\nsteps and what they need:\n{listing()}\n\nwith --profile nac:\n{nac_listing()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--connect", required=True, metavar="HOST:PORT|tls://HOST:PORT|serial:///DEVICE")
    parser.add_argument("--ca", type=Path, help="tls: the authority of the door's certificate, PEM")
    parser.add_argument("--certificate", type=Path, help="tls: the terminal's own certificate, PEM")
    parser.add_argument("--key", type=Path, help="tls: its key, PEM")
    parser.add_argument("--server-name", default="", help="tls: the name in the door's certificate, if not HOST")
    parser.add_argument("--tid", required=True)
    parser.add_argument("--mid", required=True)
    parser.add_argument("--profile", default="unionpay", choices=["unionpay", "nac"])
    parser.add_argument("--nii", default="001", help="nac: field 24")
    parser.add_argument("--invoice", type=int, default=1, help="nac: the first invoice number")
    parser.add_argument("--totals-digits", type=int, default=90, choices=[30, 33, 36, 90], help="nac: field 63")
    parser.add_argument("--pad", default="0", choices=["0", "F", "right"], help="nac: odd variable-length numbers")
    parser.add_argument("--ascii-wire", action="store_true", help="nac: digits and lengths as ASCII; without a MAC")
    parser.add_argument("--mac-key", help="nac: test key in hex; without it: no MAC")
    parser.add_argument("--tmk", help="test TMK in hex; without it: no MAC, no PIN")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--stan", type=int, default=1, help="the first trace number")
    parser.add_argument("--sign-in-code", default="003", choices=["001", "003", "004", "006"])
    for name, field in Keying.model_fields.items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(
            option,
            default=field.default,
            choices=get_args(field.annotation),
            type=type(field.default),
            help="as the host's",
        )
    parser.add_argument("--timeout-s", type=float, default=TIMEOUT_S, dest="timeout_s")
    return parser


if __name__ == "__main__":
    sys.exit(main())
