"""What went over a loopback connection, as a pcap file: a relay that notes it, and a writer for it.

Capturing an interface asks for rights that a test does not have; the bytes are the same.
"""

import asyncio
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

HOST_PORT, TERMINAL_PORT = 5000, 40000
RAW_IP = 101
LOOPBACK = bytes((127, 0, 0, 1))
SYN, ACK, PUSH = 0x02, 0x10, 0x08
READ_BYTES = 65536


@dataclass
class Relay:
    """Between a terminal and its host. `passed`: what went through, as (from the terminal?, bytes)."""

    host_port: int
    passed: list[tuple[bool, bytes]] = field(default_factory=list)
    port: int = 0
    _server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host_reader, host_writer = await asyncio.open_connection("127.0.0.1", self.host_port)
        await asyncio.gather(self._pass(reader, host_writer, True), self._pass(host_reader, writer, False))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to_host: bool) -> None:
        while data := await reader.read(READ_BYTES):
            self.passed.append((to_host, data))
            writer.write(data)
        with suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()


def write_pcap(path: Path, passed: list[tuple[bool, bytes]]) -> None:
    """One TCP connection from TERMINAL_PORT to HOST_PORT, a segment for each that passed."""
    sequence = {True: 1, False: 1}
    packets = [_packet(True, 0, 0, SYN, b""), _packet(False, 0, 1, SYN | ACK, b"")]
    for to_host, data in passed:
        packets.append(_packet(to_host, sequence[to_host], sequence[not to_host], PUSH | ACK, data))
        sequence[to_host] += len(data)
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, READ_BYTES * 2, RAW_IP)
    rows = (struct.pack("<IIII", at, 0, len(packet), len(packet)) + packet for at, packet in enumerate(packets))
    path.write_bytes(header + b"".join(rows))


def _packet(to_host: bool, sequence: int, acknowledged: int, flags: int, data: bytes) -> bytes:
    ports = (TERMINAL_PORT, HOST_PORT) if to_host else (HOST_PORT, TERMINAL_PORT)
    tcp = struct.pack(">HHIIBBHHH", *ports, sequence, acknowledged, 0x50, flags, 0xFFFF, 0, 0) + data
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, LOOPBACK, LOOPBACK)
    return ip + tcp
