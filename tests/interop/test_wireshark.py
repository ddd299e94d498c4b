"""Wireshark's own dissector reads a loopback session of the NAC dialect in its ASCII variant.

Its dissector is for ASCII dialects: packed digits of odd length it takes for other ones.
"""

import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from itertools import takewhile
from pathlib import Path

import pytest

from posd.core import events as e
from posd.framing.length_prefix import LengthPrefixed, with_length
from posd.framing.tpdu import split
from posd.iso8583.codec import Codec
from posd.iso8583.message import Message
from posd.iso8583.nac import HEADER_BYTES, nac_spec
from posd.iso8583.spec import Field, Kind
from tests.daemon.nac_stage import CARD, EXPIRY, OTHER, NacStage
from tests.daemon.stage import play
from tests.interop.capture import HOST_PORT, Relay, write_pcap

CODEC = Codec(nac_spec(ascii_wire=True))
SCRIPT = Path(__file__).parent / "tpdu.lua"
PREFERENCES = ("iso8583.len_endian:bigendian", "iso8583.charset:ascii", "iso8583.binencode:bin")

NOT_ITS = {
    35: "its tracks are hexadecimal where binary fields are raw",
    36: "it has a number here, so a separator is malformed",
    53: "it has 8 digits, the dialect has 16",
    55: "it has text here, the dialect has BER-TLV",
}
"""Fields that its tables of 1987 have otherwise; it stops reading a message there."""

ECHO = b"990000"
SALE = {"card": CARD, "expiry": EXPIRY, "amount": "12.34", "entry": "012"}


class Listening(NacStage):
    """posd speaks to its host through a relay that notes what passes."""

    async def open(self) -> None:
        await super().open()
        self.relay = Relay(self.host_port)
        await self.relay.start()
        self.settings["host"]["address"] = f"127.0.0.1:{self.relay.port}"

    async def close(self) -> None:
        await super().close()
        await self.relay.close()


async def a_day(shop: Listening) -> None:
    """Every kind of message; the host says 95 to the totals, so there are uploads and a closing too."""
    await shop.start()
    await shop.until(lambda: any(ECHO in data for _, data in shop.relay.passed))
    await shop.do("logon")
    first, second = await shop.do("sale", **SALE), await shop.do("sale", **SALE | {"card": OTHER})
    await shop.do("tip", of_stan=first["stan"], tip="1.00")
    await shop.do("void", of_stan=second["stan"])
    back = await shop.do("refund", **SALE)
    await shop.do("void", of_stan=back["stan"])
    told = await shop.do("offline_sale", **SALE, approval="654321")
    await shop.do("adjust", of_stan=told["stan"], amount="13.00")
    held = await shop.do("preauth", **SALE)
    await shop.do("complete", of_stan=held["stan"], amount="10.00")
    chip = await shop.do("sale", **SALE | {"entry": "051"})
    await shop.do("tc", of_stan=chip["stan"])
    await shop.do("sale", **SALE | {"entry": "022"})
    owed = await shop.do("sale", **SALE | {"amount": "7.00"})
    await shop.do("reverse", stan=owed["stan"])
    batch = shop.state().batch.identity
    assert await shop.command(lambda of: e.SettleNow(of, "anna"))
    await shop.until(lambda: shop.state().batch.identity > batch)


def said(passed: list[tuple[bool, bytes]]) -> list[tuple[str, Message]]:
    """TPDU and message of every frame, in the order in which they were complete."""
    readers = {True: LengthPrefixed(), False: LengthPrefixed()}
    frames = [split(frame, HEADER_BYTES) for to_host, data in passed for frame in readers[to_host].feed(data)]
    return [(envelope.tpdu.hex(), CODEC.decode(body)) for envelope, body in frames]


def shown(capture: Path, tshark: str) -> list[tuple[str, str, dict[int, str]]]:
    """TPDU, MTI and fields of every message, as tshark shows them."""
    options = [part for preference in PREFERENCES for part in ("-o", preference)]
    ways = ["-d", "tcp.port==8583,iso8583", "-d", f"tcp.port=={HOST_PORT},tpdu8583", "-X", f"lua_script:{SCRIPT}"]
    command = [tshark, *options, *ways, "-r", str(capture), "-T", "pdml"]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()
    found: list[tuple[str, str, dict[int, str]]] = []
    tpdu = ""
    for element in ElementTree.fromstring(done.stdout).iter():
        if element.get("name") == "tpdu8583.tpdu":
            tpdu = (element.get("show") or "").replace(":", "")
        elif element.get("name") == "iso8583":
            fields = {child.get("name", ""): child.get("show", "") for child in element.iter("field")}
            mti = fields.pop("iso8583.mti")
            bits = {int(name[11:]): show for name, show in fields.items() if name.startswith("iso8583.bit")}
            found.append((tpdu, mti, bits))
    return found


def readable(message: Message) -> list[int]:
    """The fields that its dissector can come to."""
    return list(takewhile(lambda number: number not in NOT_ITS, sorted(message.fields)))


@pytest.fixture(scope="module")
def tshark() -> str:
    program = shutil.which("tshark")
    if program is None:
        pytest.skip("there is no tshark on the PATH: apt-get install tshark, or Wireshark, to run this test")
    about = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60, check=False).stdout
    if "with Lua" not in about:
        pytest.skip("this tshark is built without Lua, which takes the TPDU off")
    return program


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[bool, bytes]]:
    """What passed between posd and its host on a real connection."""
    with pytest.MonkeyPatch.context() as patch:
        shop = Listening(
            tmp_path_factory.mktemp("shop"),
            patch,
            change={"host": {"echo_interval_s": 0.3, "nac": {"wire": "ascii"}}},
            nac={"ascii_wire": True, "disagree": "totals"},
            terminal_knobs={"codec": CODEC},
        )
        play(shop, a_day)
        return shop.relay.passed


def test_a_session_has_every_message_of_the_catalogue(passed: list[tuple[bool, bytes]]) -> None:
    """Reference 2.3; runs without Wireshark too."""
    messages = [message for _, message in said(passed)]
    mtis = {message.mti for message in messages}
    assert mtis >= {"0800", "0810", "0200", "0210", "0220", "0230", "0100", "0110", "0320", "0330", "0400", "0410"}
    assert {message.fields[3] for message in messages if message.mti == "0500"} == {"920000", "960000"}
    assert {number for message in messages for number in readable(message)} >= {2, 3, 4, 11, 12, 13, 14, 22, 24, 25}


def test_wireshark_shows_what_was_said(passed: list[tuple[bool, bytes]], tshark: str, tmp_path: Path) -> None:
    capture = tmp_path / "day.pcap"
    write_pcap(capture, passed)
    sent, seen = said(passed), shown(capture, tshark)
    assert len(seen) == len(sent)
    for (tpdu, message), (seen_tpdu, mti, bits) in zip(sent, seen, strict=True):
        assert (seen_tpdu, mti) == (tpdu, message.mti)
        for number in readable(message):
            exact = CODEC.spec.fields[number].kind is not Kind.BINARY  # it shows a character more behind binary ones
            text = bits[number] if exact else bits[number][: len(message.fields[number])]
            assert text == message.fields[number], f"{mti} field {number}"
        assert set(bits) <= set(message.fields)


def test_wireshark_reads_every_field_but_those(tshark: str, tmp_path: Path) -> None:
    """Each field alone in a message: those that its tables have otherwise are among the ones named above."""
    samples = {Kind.DIGITS: "1234567890" * 2, Kind.TRACK: "6225880123456789=3012201", Kind.BINARY: "9F26A1B2C3D4E5F6"}
    values = {
        number: samples[Kind.BINARY] if row.kind is Kind.BINARY else text_of(row, samples)
        for number, row in CODEC.spec.fields.items()
    }
    alone = {3: "000000", 4: "000000000100", 64: "00" * 8}
    bodies = [CODEC.encode(Message("0200", alone | {number: value})) for number, value in values.items()]
    capture = tmp_path / "fields.pcap"
    write_pcap(capture, [(True, with_length(bytes.fromhex("6000010000") + body)) for body in bodies])
    seen = {number: bits for number, (_, _, bits) in zip(values, shown(capture, tshark), strict=True)}
    wrong = {n for n, bits in seen.items() if not bits.get(n, "").startswith(values[n]) or 64 not in bits}
    assert wrong <= set(NOT_ITS)


def text_of(row: Field, samples: dict[Kind, str]) -> str:
    """A value of the field's exact length, or one that it has room for."""
    text = samples.get(row.kind, "ABCDEF123456")
    return text[: row.length_max] if row.prefix_bytes else text.ljust(row.length, "0")[: row.length]
