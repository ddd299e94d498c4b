"""A real PKCS#11 token for tests: SoftHSM2 in a folder of its own; and the same behind a socket, to be pulled out.

`p11-kit server` serves the token to `p11-kit-client.so`: ending it is pulling the token out, stopping it is a token
that hangs. Both are real modules that answer as real ones do.
"""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from socket import AF_UNIX
from socket import socket as connected

import pytest

SOFTHSM = next(
    (
        path
        for path in map(Path, ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so"))
        if path.exists()
    ),
    Path("/usr/lib/softhsm/libsofthsm2.so"),
)
CLIENT = Path("/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so")
PIN = "271828"
SOCKET = Path(tempfile.gettempdir()) / f"posd-p11-{os.getpid()}"
"""The client asks once in a process where its server is."""

needs_softhsm = pytest.mark.skipif(
    not SOFTHSM.exists() or shutil.which("softhsm2-util") is None,
    reason="no SoftHSM2 here: apt-get install softhsm2",
)
needs_p11_kit = pytest.mark.skipif(
    not CLIENT.exists() or shutil.which("p11-kit") is None,
    reason="no p11-kit here: apt-get install p11-kit p11-kit-modules",
)


@dataclass(frozen=True)
class Token:
    """`label` is of this one alone: libraries last as long as their process, and must not find another test's."""

    label: str
    environment: dict[str, str]


def make_token(folder: Path) -> Token:
    """A token with its configuration, and the environment in which a module finds it."""
    label = f"posd-{secrets.token_hex(4)}"
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\nlog.level = ERROR\n")
    environment = {"SOFTHSM2_CONF": str(folder / "softhsm2.conf")}
    words = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "314159"]
    subprocess.run(words, env={**os.environ, **environment}, check=True, capture_output=True)
    return Token(label, environment)


@dataclass
class Plug:
    """The socket in which the token sits."""

    token: Token
    server: subprocess.Popen[bytes] | None = None
    address: str = field(init=False)

    def __post_init__(self) -> None:
        self.address = f"unix:path={SOCKET}"

    def put_in(self) -> None:
        path = str(SOCKET)
        SOCKET.unlink(missing_ok=True)
        words = ["p11-kit", "server", "--provider", str(SOFTHSM), "-f", "-n", path, f"pkcs11:token={self.token.label}"]
        environment = {**os.environ, **self.token.environment}
        self.server = subprocess.Popen(words, env=environment, start_new_session=True, stdout=subprocess.DEVNULL)
        for _ in range(500):
            with suppress(OSError), connected(AF_UNIX) as probe:
                probe.connect(path)
                return
            time.sleep(0.01)
        raise AssertionError("p11-kit server does not listen")

    def hang(self) -> None:
        assert self.server is not None
        os.killpg(self.server.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        assert self.server is not None
        os.killpg(self.server.pid, signal.SIGCONT)

    def pull_out(self) -> None:
        if self.server is not None:
            os.killpg(self.server.pid, signal.SIGKILL)
            self.server.wait()
            self.server = None
            SOCKET.unlink(missing_ok=True)
