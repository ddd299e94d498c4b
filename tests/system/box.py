"""A computer that can be switched on, off and have its plug pulled: a real systemd as PID 1 in a namespace of its own.

Its disk is this machine's, under an overlay that is thrown away; with POSD_BOX_DEBIAN=DIR a bare Debian's, made by

    mmdebstrap --variant=minbase --skip=cleanup/apt/lists --include=systemd-sysv,dbus,ca-certificates bookworm DIR

Its network is shared with `outside`, where the acquirer is, and has nothing but a loopback; so the host lives on when
the box dies.
"""

import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 60.0
SOURCE = "/usr/src/posd"
"""Where the box finds the project, as somebody who has cloned it."""

BARE = os.environ.get("POSD_BOX_DEBIAN", "")
TO_THE_NETWORK = ("etc/resolv.conf", "etc/pip.conf", "etc/ssl/certs/ca-certificates.crt")
"""How this machine gets to its packages, which a bare one has to be told."""

HOST = "10.0.0.1"
"""The acquirer's address, as in the README: where it answers from outside of the box."""

STRAY = ("multi-user.target.wants", "timers.target.wants", "getty.target.wants", "network-online.target.wants")
TOOLS = ("systemd-nspawn", "nsenter", "unshare", "mount", "ip", "dbus-daemon")


def why_not() -> str:
    """Why no box can be had here; empty when one can."""
    if os.geteuid() != 0:
        return "a box with a systemd of its own needs root"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"no {', '.join(missing)} here: apt-get install systemd-container dbus iproute2"
    if not Path("/usr/bin/python3").exists():
        return "the box needs the system's own Python, /usr/bin/python3"
    probe = ["unshare", "--mount", "--net", "--pid", "--fork", "mount", "-t", "tmpfs", "posd-probe", "/mnt"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    return f"this root may not make namespaces and mounts: {done.stderr.strip()}" if done.returncode else ""


class Box:
    """`folder` holds the overlay and the acquirer's files."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.disk = folder, folder / "merged"
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0
        self.outside: subprocess.Popen[bytes] | None = None

    # --- the machine ---------------------------------------------------------------------------------------------

    def build(self) -> None:
        """A disk like this machine's, without its services, and a network of nothing but a loopback."""
        _run("mount", "-t", "tmpfs", "posd-box", str(self.folder))
        for name in ("upper", "work", "merged"):
            (self.folder / name).mkdir()
        layers = f"lowerdir={BARE or '/'},upperdir={self.folder}/upper,workdir={self.folder}/work"
        _run("mount", "-t", "overlay", "posd-box", "-o", layers, str(self.disk))
        for name in TO_THE_NETWORK if BARE else ():
            if (Path("/") / name).exists():
                shutil.copy(Path("/") / name, self.disk / name)
        units = self.disk / "etc/systemd/system"
        for stray in STRAY:
            shutil.rmtree(units / stray, ignore_errors=True)
        (self.disk / "etc/machine-id").unlink(missing_ok=True)
        (self.disk / "etc/machine-id").write_text("0f" * 16 + "\n")
        for left in ("etc/posd", "opt/posd", "var/lib/posd"):
            shutil.rmtree(self.disk / left, ignore_errors=True)
        self.outside = subprocess.Popen(
            [
                "unshare",
                "--net",
                "sh",
                "-c",
                f"ip link set lo up; ip addr add {HOST}/32 dev lo; echo; exec sleep infinity",
            ],
            stdout=subprocess.PIPE,
        )
        assert self.outside.stdout is not None
        self.outside.stdout.readline()

    def install(self, source: Path = ROOT) -> None:
        """What the project's folder is made of, where the box can read it."""
        kept = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", "tests", ".hypothesis")
        shutil.copytree(source, self.disk / SOURCE.lstrip("/"), ignore=kept)

    def with_network(self, command: str) -> None:
        """On the box's disk, with this machine's network: only for what has to be fetched."""
        path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
        _run("chroot", str(self.disk), "env", path, "/bin/sh", "-ec", f"mkdir -p {SOURCE}; cd {SOURCE}; {command}")

    def boot(self) -> None:
        """Switch it on; it is up when its systemd has reached multi-user.target."""
        assert self.outside is not None
        command = ["systemd-nspawn", "--quiet", "-D", str(self.disk), "--register=no", "--keep-unit", "--boot"]
        network = f"--network-namespace-path=/proc/{self.outside.pid}/ns/net"
        with (self.folder / "console").open("ab") as console:
            self._nspawn = subprocess.Popen(
                [*command, network, "systemd.unit=multi-user.target"],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        self.until(self._is_up, "the box to boot")

    def _is_up(self) -> bool:
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, (self.folder / "console").read_text(errors="replace")[-2000:]
        task = f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children"
        children = Path(task).read_text().split()
        self._leader = int(children[0]) if children else 0
        return bool(self._leader) and self.shell("systemctl is-active multi-user.target", check=False) == "active"

    def pull_the_plug(self) -> None:
        """Nothing is told anything: every process is gone at once."""
        assert self._nspawn is not None
        if self._leader:
            os.kill(self._leader, signal.SIGKILL)
        self._nspawn.wait(LIMIT_S)
        self._leader = 0

    def reboot(self) -> None:
        """An orderly end and a new start."""
        assert self._nspawn is not None
        os.kill(self._leader, signal.SIGRTMIN + 4)  # systemd(1): start poweroff.target
        self._nspawn.wait(LIMIT_S)
        self.boot()

    def scrap(self) -> None:
        """Nothing of it stays."""
        if self._nspawn is not None and self._nspawn.poll() is None:
            self.pull_the_plug()
        if self.outside is not None:
            self.outside.kill()
            self.outside.wait()
            assert self.outside.stdout is not None
            self.outside.stdout.close()
        for place in (self.disk, self.folder):
            subprocess.run(["umount", "--lazy", str(place)], check=False, capture_output=True)

    # --- at its keyboard -----------------------------------------------------------------------------------------

    def shell(self, command: str, *, check: bool = True, given: str = "", user: str = "") -> str:
        """Type a command into the box as root (or `user`); what it says on standard output."""
        done = self.typed(command, given=given, user=user)
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def typed(self, command: str, *, given: str = "", user: str = "") -> "subprocess.CompletedProcess[str]":
        """As `shell`, with the status and both outputs."""
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
        return subprocess.run(
            [*self._inside(), *become, "/bin/sh", "-c", command],
            input=given,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
            cwd="/",
        )

    def _inside(self) -> list[str]:
        path = "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return ["nsenter", "-t", str(self._leader), "-a", "env", "-i", path, "LANG=C.UTF-8", "HOME=/root"]

    def conversation(self, command: str, *answers: tuple[str, str]) -> str:
        """As a person at a terminal: each answer is typed when its question stands there. What the screen showed."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [*self._inside(), "/bin/sh", "-c", command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        shown, seen = b"", 0
        try:
            for question, answer in answers:
                while question.encode() not in shown[seen:]:
                    shown += self._more(ours, f"{question!r} after {shown.decode()!r}")
                seen = len(shown)
                time.sleep(0.1)  # whoever asks for a secret throws away what was typed before
                os.write(ours, f"{answer}\n".encode())
            with suppress(OSError):  # EIO: the other end has hung up
                while more := self._more(ours, "its end"):
                    shown += more
            assert process.wait(LIMIT_S) == 0, shown.decode()
        finally:
            process.kill()
            process.wait()
            os.close(ours)
        return shown.decode()

    @staticmethod
    def _more(terminal: int, what: str) -> bytes:
        assert select.select([terminal], [], [], LIMIT_S)[0], f"waited for {what}"
        return os.read(terminal, 4096)

    def until(self, true: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not true():
            assert time.monotonic() < deadline, f"waited {LIMIT_S} s for {what}"
            time.sleep(0.05)

    def unit(self, *names: str, of: str = "posd") -> list[str]:
        """Properties of a unit, in the order asked for."""
        said = self.shell(f"systemctl show {of} " + " ".join(f"-p {name}" for name in names))
        values = dict(line.partition("=")[::2] for line in said.splitlines())
        return [values[name] for name in names]

    def pid(self, of: str = "posd") -> int:
        return int(self.unit("MainPID", of=of)[0])

    def is_ready(self, of: str = "posd") -> bool:
        return self.unit("ActiveState", "SubState", of=of) == ["active", "running"]

    def log(self, of: str = "posd") -> list[dict[str, Any]]:
        """posd's own lines in the box's journal."""
        lines = self.shell(f"journalctl --quiet --output=cat --unit={of}").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    # --- outside of it -------------------------------------------------------------------------------------------

    def from_here(self, pid: int) -> int:
        """What a process of the box is called outside of it."""
        for status in Path("/proc").glob("[0-9]*/status"):
            with suppress(OSError):
                names = re.search(r"^NSpid:\t(\d+)\t(.*\t)?(\d+)$", status.read_text(), re.MULTILINE)
                if names is not None and int(names[3]) == pid and self._is_ours(status.parent):
                    return int(names[1])
        raise AssertionError(f"no process {pid} in the box")

    def _is_ours(self, process: Path) -> bool:
        return os.readlink(process / "ns/pid") == os.readlink(f"/proc/{self._leader}/ns/pid")

    def gets_the_address(self, address: str) -> None:
        """As from a DHCP server that takes its time."""
        assert self.outside is not None
        _run("nsenter", f"--net=/proc/{self.outside.pid}/ns/net", "ip", "addr", "add", f"{address}/32", "dev", "lo")

    def beside(self, *command: str, **how: Any) -> "subprocess.Popen[str]":
        """A process that is not in the box, on the same wire."""
        assert self.outside is not None
        return subprocess.Popen(
            ["nsenter", f"--net=/proc/{self.outside.pid}/ns/net", sys.executable, "-m", *command],
            cwd=ROOT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            **how,
        )


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
