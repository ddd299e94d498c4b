"""`openssl s_server` and `s_client` as the other end: another program's TLS, with its own options."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

LIMIT_S = 10.0


@dataclass
class OpenSsl:
    """A running openssl; `said`: what it has written so far, what came to it as data included."""

    process: "subprocess.Popen[bytes]"
    said: bytearray = field(default_factory=bytearray)

    def listen(self) -> None:
        assert self.process.stdout is not None
        while data := self.process.stdout.read1(65536):  # type: ignore[attr-defined]
            self.said += data

    def until(self, words: bytes) -> None:
        deadline_s = time.monotonic() + LIMIT_S
        while words not in self.said:
            assert time.monotonic() < deadline_s, bytes(self.said)
            time.sleep(0.005)

    def type(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()

    @property
    def port(self) -> int:
        self.until(b"ACCEPT ")
        line = bytes(self.said).split(b"ACCEPT ", 1)[1].splitlines()[0]
        return int(line.rpartition(b":")[2])


@contextmanager
def openssl(*words: str | Path) -> Iterator[OpenSsl]:
    """`openssl WORDS` while the test goes on."""
    process = subprocess.Popen(
        ["openssl", *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    running = OpenSsl(process)
    listener = Thread(target=running.listen)
    listener.start()
    try:
        yield running
    finally:
        process.kill()
        process.wait()
        listener.join(LIMIT_S)


def host(certificate: Path, key: Path, *more: str | Path) -> AbstractContextManager[OpenSsl]:
    """A host on a free port."""
    return openssl("s_server", "-accept", "127.0.0.1:0", "-cert", certificate, "-key", key, *more)


def client(port: int, *more: str | Path) -> AbstractContextManager[OpenSsl]:
    """A terminal that connects to a door of ours."""
    return openssl("s_client", "-connect", f"127.0.0.1:{port}", *more)
