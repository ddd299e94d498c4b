"""Wireshark's own dissector reads a loopback session of the NAC dialect in its ASCII variant.

Its dissector is for ASCII dialects: packed digits of odd length it takes for other ones.
"""

import asyncio
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from itertools import takewhile
from pathlib import Path

import pytest

from posd.framing.length_prefix import LengthPrefixed, with_length
from posd.framing.tpdu import split
from posd.iso8583.codec import Codec
from posd.iso8583.message import Message
from posd.iso8583.nac import HEADER_BYTES, nac_spec
from posd.iso8583.spec import Field, Kind
from simulators.host.faults import Faults
from simulators.host.nac_acquirer import NacAcquirer
from simulators.host.server import HostServer
from simulators.terminal.nac_client import NacClient
from tests.interop.capture import HOST_PORT, Relay, write_pcap
from tests.simulators.nac_bench import CARD, OTHER, settings, terminal

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

SALE = {"do": "sale", "amount": "12.34", "card": CARD.pan, "expiry": "3012", "entry": "012"}


async def a_day(client: NacClient) -> None:
    """Every kind of message; the host says 95 to the totals, so there are uploads and a closing too."""
    assert client.port
    await client.do({"do": "logon"})
    await client.do({"do": "echo"})
    first, second = [await client.do(SALE | {"card": card.pan}) for card in (CARD, OTHER)]
    await client.do({"do": "tip", "of_stan": first["stan"], "tip": "1.00"})
    await client.do({"do": "void", "of_stan": second["stan"]})
    await client.do(SALE | {"do": "refund", "amount": "5.00"})
    await client.do(SALE | {"do": "offline_sale", "approval": "654321"})
    held = await client.do(SALE | {"do": "preauth"})
    await client.do({"do": "complete", "of_stan": held["stan"], "amount": "10.00"})
    chip = await client.do(SALE | {"entry": "051"})
    await client.do({"do": "tc", "of_stan": chip["stan"]})
    await client.do(SALE | {"entry": "022"})
    owed = await client.do(SALE | {"amount": "7.00"})
    await client.do({"do": "reverse", "stan": owed["stan"]})
    assert (await client.do({"do": "settle"}))["outcome"] == "closed"


def session() -> list[tuple[bool, bytes]]:
    """What passed between a terminal and a host on a real connection."""

    async def run() -> list[tuple[bool, bytes]]:
        asked = settings(ascii_wire=True, disagree="totals")
        host = HostServer(NacAcquirer(asked, seed=3), Faults(asked.faults, 3), emit=[].append)
        relay = Relay(await host.start("127.0.0.1", 0))
        await relay.start()
        client = NacClient(terminal(codec=CODEC), "127.0.0.1", relay.port, timeout_s=5)
        await a_day(client)
        await client.close()
        await relay.close()
        await host.close()
        return relay.passed

    return asyncio.run(run())


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
    return program


@pytest.fixture(scope="module")
def passed() -> list[tuple[bool, bytes]]:
    return session()


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
    """Each field alone in a message: those that its tables have otherwise are the ones named above, and no others."""
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
    assert wrong == set(NOT_ITS)


def text_of(row: Field, samples: dict[Kind, str]) -> str:
    """A value of the field's exact length, or one that it has room for."""
    text = samples.get(row.kind, "ABCDEF123456")
    return text[: row.length_max] if row.prefix_bytes else text.ljust(row.length, "0")[: row.length]
