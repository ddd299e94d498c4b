"""`serial:///dev/ttyUSB0?baud=9600&framing=stx`, as the simulators understand it."""

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from posd.errors import ConfigError

PREFIX = "serial://"
PARITIES = {"none": "N", "even": "E", "odd": "O"}
FRAMINGS = ("stx", "length")


@dataclass(frozen=True, slots=True)
class SerialAt:
    """A port and how it is used. `parity` as pyserial writes it; times in seconds."""

    device: str
    baud: int = 115_200
    parity: str = "N"
    stop: int = 1
    framing: str = "stx"
    inter_byte_s: float = 0.5
    ack_timeout_s: float = 2.0
    retries: int = 3


def is_serial(text: str) -> bool:
    """Whether this address is a serial line."""
    return text.startswith(PREFIX)


def serial_at(text: str) -> SerialAt:
    """The port that `text` names. ConfigError otherwise."""
    url = urlsplit(text)
    said = dict(parse_qsl(url.query, keep_blank_values=True))
    try:
        at = SerialAt(
            url.path,
            int(said.pop("baud", "115200")),
            PARITIES[said.pop("parity", "none")],
            int(said.pop("stop", "1")),
            said.pop("framing", "stx"),
            float(said.pop("inter_byte_s", "0.5")),
            float(said.pop("ack_timeout_s", "2")),
            int(said.pop("retries", "3")),
        )
    except (KeyError, ValueError):
        raise ConfigError(f"{PREFIX}: a parameter has no usable value") from None
    if said or not url.path or url.netloc or at.framing not in FRAMINGS:
        known = "baud, parity, stop, framing=stx|length, inter_byte_s, ack_timeout_s, retries"
        raise ConfigError(f"write serial:///dev/ttyUSB0?baud=9600&framing=stx; parameters: {known}")
    return at
