"""`python -m simulators.serial_line`: a gateway from a serial line to a TCP host, so that a host has a serial port.

Frames that come on the line go to the host, its answers come back. When the host hangs up it is called again at the
next frame; when the line is gone the gateway ends: status 0, or 2 when an argument or the port is unusable.
"""

import argparse
import asyncio
import sys

from posd.errors import ConfigError
from simulators.host.__main__ import listen_address
from simulators.serial_line.port import SerialPort
from simulators.serial_line.where import SerialAt, serial_at

READ_BYTES = 65_536
EXIT_UNUSABLE = 2


async def gateway(at: SerialAt, host: str, port: int) -> None:
    """Until the line is gone. OSError when it cannot be opened."""
    line = SerialPort(at)
    answers: asyncio.Task[None] | None = None
    called: asyncio.StreamWriter | None = None
    try:
        while data := await line.reader.read(READ_BYTES):
            if called is None or answers is None or answers.done():
                try:
                    reader, called = await asyncio.open_connection(host, port)
                except OSError:
                    called = None
                    continue  # nobody answers this one
                answers = asyncio.create_task(_back(reader, line))
            called.write(data)
    finally:
        line.close()
        if called is not None:
            called.close()
        if answers is not None:
            answers.cancel()


async def _back(reader: asyncio.StreamReader, line: SerialPort) -> None:
    try:
        while data := await reader.read(READ_BYTES):
            line.write(data)
    except ConnectionError:
        pass


def main(arguments: list[str] | None = None) -> int:
    """The command; `arguments` default to the process's own."""
    parser = argparse.ArgumentParser(
        prog="python -m simulators.serial_line",
        description="A gateway from a serial line to a TCP host.",
        epilog="example: python -m simulators.serial_line --line serial:///dev/ttyS1?baud=9600 --to 127.0.0.1:5000",
    )
    parser.add_argument("--line", required=True, metavar="serial:///DEVICE?...")
    parser.add_argument("--to", required=True, metavar="HOST:PORT")
    options = parser.parse_args(arguments)
    try:
        asyncio.run(gateway(serial_at(options.line), *listen_address(options.to)))
    except KeyboardInterrupt:
        return 0
    except (ConfigError, OSError) as trouble:
        print(f"serial line: {trouble}", file=sys.stderr)
        return EXIT_UNUSABLE
    return 0


if __name__ == "__main__":
    sys.exit(main())
