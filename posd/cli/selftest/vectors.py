"""The golden messages and MACs that ship with posd, replayed: read as they were written down, and written again.

It knows nothing of a configuration, and touches nothing but posd's own files.
"""

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from posd.cli.demo.audit import Check
from posd.errors import MalformedMessage, PosdError
from posd.framing.length_prefix import LengthPrefixed, with_length
from posd.framing.tpdu import Envelope, join, split
from posd.iso8583.codec import Codec, Unreadable
from posd.iso8583.message import Message
from posd.iso8583.nac import VariablePad, nac_spec
from posd.iso8583.unionpay import unionpay_spec
from posd.security.mac import ALGORITHMS, Output, mac_of

FOLDER = Path(__file__).parents[2] / "vectors"
HEADER_BYTES = {"unionpay": 6, "variant": 2, "nac": 0}
NAC_PADS = {"zero": VariablePad.ZERO, "F": VariablePad.F, "right": VariablePad.RIGHT}

Row = dict[str, Any]
OUTPUTS: tuple[Output, ...] = ("usual", "hex", "raw")


def vector_checks(profiles: tuple[str, ...]) -> Iterator[Check]:
    """One check for each file of messages of these dialects, and one for the MACs. Raises PosdError without them."""
    for path in sorted(FOLDER.glob("*.json")):
        dialect = path.stem.partition("_")[0]
        if dialect in profiles:
            yield _check(path, f"golden messages, {path.stem}", f"样例报文 {path.stem}", "messages", _message_finding)
    yield _check(FOLDER / "macs.json", "golden MACs", "样例 MAC", "macs", _mac_finding)


def _check(path: Path, title: str, title_zh: str, of: str, finding: Callable[[Row], str]) -> Check:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise PosdError(f"{path.name}: the vectors that ship with posd cannot be read; install it again") from None
    found = [f"{row['name']}: {what}" for row in document[of] if (what := finding(row))]
    found += [f"{row['name']}: {what}" for row in document.get("truncated", ()) if (what := _truncated_finding(row))]
    looked_at = len(document[of]) + len(document.get("truncated", ()))
    return Check(f"vectors_{path.stem}", title, title_zh, looked_at, tuple(found))


def _dialect(row: Row) -> str:
    return str(row.get("dialect", "nac"))


@cache
def _codec(dialect: str, wire: str) -> Codec:
    if dialect == "nac":
        return Codec(nac_spec(ascii_wire=True) if wire == "ascii" else nac_spec(pad=NAC_PADS[wire]))
    variant = dialect == "variant"
    return Codec(unionpay_spec(with_f24=variant, f61_ascii=variant))


def _opened(row: Row) -> tuple[Envelope | None, bytes]:
    """Envelope and message; only the latter where the sample begins with its MTI."""
    data, framing = bytes.fromhex(row["hex"]), row.get("framing", "length")
    if framing == "mti":
        return None, data
    if framing == "length":
        (data,) = LengthPrefixed().feed(data)
    return split(data, HEADER_BYTES[_dialect(row)])


def _message_finding(row: Row) -> str:
    """What differs; empty: read and written as it stands there."""
    codec = _codec(_dialect(row), row.get("wire", "zero"))
    written_down = Message(row["mti"], {int(number): value for number, value in row["fields"].items()})
    try:
        envelope, body = _opened(row)
        if codec.decode(body) != written_down:
            return "is read otherwise"
        frame = codec.encode(written_down) if envelope is None else join(envelope, codec.encode(written_down))
    except (PosdError, ValueError) as error:
        return str(error)
    wire = with_length(frame) if row.get("framing", "length") == "length" else frame
    return "" if wire.hex().upper() == row["hex"] else "is written otherwise"


def _truncated_finding(row: Row) -> str:
    """A message that was cut off has to be refused, and what stood before the cut kept."""
    try:
        _, body = split(bytes.fromhex(row["hex"])[2:], HEADER_BYTES["unionpay"])
        _codec("unionpay", "zero").decode(body)
    except Unreadable as error:
        return "" if error.partial is not None else "nothing of it is read"
    except MalformedMessage as error:
        return str(error)
    return "is taken for whole"


def _mac_finding(row: Row) -> str:
    """One algorithm with one key over one message, and over its neighbour, which must not have the same."""
    key, data, mac = (bytes.fromhex(row[name]) for name in ("key", "data", "mac"))
    if row["algorithm"] not in ALGORITHMS:
        return f"{row['algorithm']} is not known"
    compute, under = mac_of(row["algorithm"], "usual"), ALGORITHMS[row["algorithm"]].clear_key(key)
    if compute(under, data) != mac:
        return "another MAC"
    neighbour = data[:-1] + bytes([data[-1] ^ 1])
    return "a changed message has the same MAC" if compute(under, neighbour) == mac else ""
