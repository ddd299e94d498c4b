"""Where a peer is, as the configuration says it: `host:port`, `tls://host:port`,
`serial:///dev/ttyUSB0?baud=115200&framing=stx`, or for a host also `https://host:port/path`.

The one place that reads addresses. Texts are `what; hint`, as settings.py wants them, and never echo a value.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from posd.yamlmarks import did_you_mean

PORT_MAX = 65_535
DEVICE_CHARACTERS_MAX = 255
BAUD_RATES = (1_200, 2_400, 4_800, 9_600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 921_600)
LINE_SECONDS_MAX = 60.0
RETRIES_MAX = 20
DATA_BITS = 8
SERIAL = "serial"
TLS = "tls"
WEB_PORTS = {"https": 443, "http": 80}
WEB_PATH = "/unp/webtrans/WPOS"
"""Where none is written (reference 1.15); acquirer-specific."""

Parity = Literal["none", "even", "odd"]
Flow = Literal["none", "rtscts"]
LineFraming = Literal["stx", "length"]
LrcOver = Literal["length-etx", "stx-etx", "body-etx", "length-body"]


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP address. `host` is a name or an IP address without brackets."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it: 127.0.0.0/8, ::1 or the name localhost."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def is_local(self) -> bool:
        """Whether nobody on a network can reach it (D28)."""
        return self.is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class SerialAddress:
    """A serial line with 8 data bits and one peer. Times in seconds.

    `lrc`, `ack_timeout_s` and `retries` belong to `framing` "stx" (posd/framing/stx.py says what they mean);
    `inter_byte_s` is the silence after which an unfinished frame is given up.
    """

    device: str
    baud: int = 115_200
    parity: Parity = "none"
    stop: Literal[1, 2] = 1
    flow: Flow = "none"
    framing: LineFraming = "stx"
    inter_byte_s: float = 0.5
    ack_timeout_s: float = 2.0
    retries: int = 3
    lrc: LrcOver = "length-etx"

    @property
    def is_local(self) -> bool:
        """D28: only whoever stands at the machine reaches it."""
        return True

    @property
    def byte_s(self) -> float:
        """How long one byte takes: start bit, data, parity, stop."""
        bits = 1 + DATA_BITS + (self.parity != "none") + self.stop
        return bits / self.baud

    def give_up_s(self, frame_bytes: int) -> float:
        """The longest that a frame of so many bytes is tried before the line is given up."""
        attempts = 1 + self.retries if self.framing == "stx" else 1
        waiting_s = self.ack_timeout_s if self.framing == "stx" else 0.0
        return attempts * (frame_bytes * self.byte_s + waiting_s)

    def __str__(self) -> str:
        return f"{SERIAL}://{self.device}"


@dataclass(frozen=True, slots=True)
class TlsAddress:
    """A TCP address behind TLS."""

    host: str
    port: int

    @property
    def tcp(self) -> Address:
        """The same without TLS."""
        return Address(self.host, self.port)

    @property
    def is_local(self) -> bool:
        """As of a TCP address."""
        return self.tcp.is_local

    def __str__(self) -> str:
        return f"{TLS}://{Address(self.host, self.port)}"


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """A host that takes one POST for each message, over TLS but for tests on this machine. `path` begins with /."""

    host: str
    port: int
    path: str = WEB_PATH
    encrypted: bool = True

    @property
    def authority(self) -> str:
        """Name and port, as in the Host header."""
        return str(Address(self.host, self.port))

    def __str__(self) -> str:
        return f"{'https' if self.encrypted else 'http'}://{self.authority}{self.path}"


AnyAddress = Address | SerialAddress | TlsAddress
HostAddress = AnyAddress | HttpAddress
_Reader = Callable[[str, str], object]
"""Reads one parameter: its name (for the text) and its value."""


def parse_address(text: object) -> AnyAddress:
    """The address that `text` says. Raises ValueError with `what; hint`."""
    if isinstance(text, Address | SerialAddress | TlsAddress):
        return text
    scheme, found, rest = str(text).partition("://")
    if not found:
        return parse_tcp(str(text))
    if scheme == TLS:
        address = parse_tcp(rest)
        return TlsAddress(address.host, address.port)
    if scheme != SERIAL:
        hint = did_you_mean(scheme, [SERIAL, TLS]) or 'write "host:port", "tls://host:port" or "serial:///dev/ttyUSB0"'
        raise ValueError(f"not a kind of address that posd knows; {hint}")
    return _serial(str(text))


def parse_host(text: object) -> HostAddress:
    """As `parse_address`, where HTTPS will do as well: the acquirer's host."""
    if isinstance(text, HttpAddress):
        return text
    scheme, found, rest = str(text).partition("://")
    if not found or scheme in (SERIAL, TLS) or isinstance(text, SerialAddress | TlsAddress):
        return parse_address(text)
    if scheme in WEB_PORTS:
        return _web(scheme, rest)
    hint = did_you_mean(scheme, [SERIAL, TLS, *WEB_PORTS]) or 'write "host:port", "tls://host:port" or "https://host"'
    raise ValueError(f"not a kind of address that posd knows; {hint}")


def _web(scheme: str, rest: str) -> HttpAddress:
    match = re.fullmatch(r"([^/?#@\s]+)(/[!\"$-~]*)?", rest, re.ASCII)
    if match is None:
        raise ValueError('not a web address; write it as "https://host.example:8443/path", without user and #')
    with_port = match[1] if re.search(r":[0-9]+$", match[1]) else f"{match[1]}:{WEB_PORTS[scheme]}"
    address = parse_tcp(with_port)
    if scheme == "http" and not address.is_loopback:
        raise ValueError("http is not encrypted, and others can read on the way to this host; write https")
    return HttpAddress(address.host, address.port, match[2] or WEB_PATH, scheme == "https")


def parse_tcp(text: object) -> Address:
    """As `parse_address`, where only TCP will do."""
    if isinstance(text, Address):
        return text
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})", str(text), re.ASCII)
    if match is None:
        raise ValueError('must be an address and a port; write it as "10.0.0.1:5000" or "host.example:5000"')
    port = int(match[3])
    if not 1 <= port <= PORT_MAX:
        raise ValueError(f"the port must be 1 to {PORT_MAX}; correct the number after the colon")
    host = match[1] or match[2]
    if match[1] or re.fullmatch(r"[0-9.]+", host):
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise ValueError("not an IP address; correct the part before the port") from None
    return Address(host, port)


def _serial(text: str) -> SerialAddress:
    try:
        url = urlsplit(text)
        pairs = parse_qsl(url.query, keep_blank_values=True, strict_parsing=True) if url.query else []
    except ValueError:
        raise ValueError('not a serial address; write it as "serial:///dev/ttyUSB0?baud=9600&framing=stx"') from None
    if url.netloc or not text.isprintable() or not re.fullmatch(rf"/[ -~]{{1,{DEVICE_CHARACTERS_MAX}}}", url.path):
        raise ValueError('the device must be a path; write three slashes, as "serial:///dev/ttyUSB0"')
    if url.fragment:
        raise ValueError("nothing may stand after #; remove it")
    given = dict(pairs)
    if len(given) != len(pairs):
        raise ValueError("a parameter stands there twice; keep one")
    for name in given:
        if name not in _PARAMETERS:
            raise ValueError(f"a parameter is unknown; {did_you_mean(name, _PARAMETERS)}")
    said = {name: read(name, given[name]) for name, read in _PARAMETERS.items() if name in given}
    address = SerialAddress(url.path, **said)  # type: ignore[arg-type]
    _refuse_contradictions(address, given)
    return address


def _refuse_contradictions(address: SerialAddress, given: Iterable[str]) -> None:
    alien = [name for name in given if name in ("lrc", "ack_timeout_s", "retries")]
    if address.framing == "length" and alien:
        raise ValueError(f"{alien[0]} belongs to framing=stx; remove it, or write framing=stx")
    if address.framing == "stx" and address.inter_byte_s >= address.ack_timeout_s:
        raise ValueError("inter_byte_s must be below ack_timeout_s; the sender would repeat before it hears a NAK")
    if address.inter_byte_s < 2 * address.byte_s:
        raise ValueError("inter_byte_s is shorter than two bytes at this baud rate; raise it")


def _one_of(*known: str) -> _Reader:
    def read(name: str, value: str) -> object:
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}; {did_you_mean(value, known) or 'write one'}")
        return int(value) if value.isdigit() else value

    return read


def _seconds(name: str, value: str) -> object:
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,4})?", value, re.ASCII) or not 0 < float(value) <= LINE_SECONDS_MAX:
        raise ValueError(f"{name} must be seconds up to {LINE_SECONDS_MAX:g}; write it as {name}=0.5")
    return float(value)


def _retries(name: str, value: str) -> object:
    if not re.fullmatch(r"[0-9]{1,2}", value, re.ASCII) or int(value) > RETRIES_MAX:
        raise ValueError(f"{name} must be 0 to {RETRIES_MAX}; write it as {name}=3")
    return int(value)


def _baud(name: str, value: str) -> object:
    if value not in [str(rate) for rate in BAUD_RATES]:
        raise ValueError(f"{name} must be a usual rate; one of {', '.join(map(str, BAUD_RATES))}")
    return int(value)


_PARAMETERS: dict[str, _Reader] = {
    "baud": _baud,
    "parity": _one_of("none", "even", "odd"),
    "stop": _one_of("1", "2"),
    "flow": _one_of("none", "rtscts"),
    "framing": _one_of("stx", "length"),
    "inter_byte_s": _seconds,
    "ack_timeout_s": _seconds,
    "retries": _retries,
    "lrc": _one_of("length-etx", "stx-etx", "body-etx", "length-body"),
}
