"""The Go program beside this file as a child: one line of JSON in, one line out."""

import json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parent / "moov"
FETCH_S, BUILD_S = 120, 300


class NotHere(Exception):
    """There is no Go, or its modules cannot be had: the text says which, and what to do."""


def build(folder: Path) -> Path:
    """The program, built once into `folder`. Raises NotHere; a program that does not compile is no reason to skip."""
    go = shutil.which("go")
    if go is None:
        raise NotHere("there is no Go toolchain on the PATH: install Go 1.24 or later to run these tests")
    fetched = _run(go, "mod", "download", within_s=FETCH_S)
    if fetched.returncode:
        raise NotHere(f"the modules of {SOURCE.name} cannot be fetched (go mod download): {fetched.stderr[-300:]}")
    program = folder / "moov"
    built = _run(go, "build", "-mod=readonly", "-buildvcs=false", "-o", str(program), ".", within_s=BUILD_S)
    assert built.returncode == 0, built.stderr
    return program


def _run(*command: str, within_s: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, timeout=within_s, check=False)
    except subprocess.TimeoutExpired:
        raise NotHere(f"{' '.join(command[1:3])} took longer than {within_s} s") from None


class Moov:
    """The running program."""

    def __init__(self, program: Path) -> None:
        self._child = subprocess.Popen([str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **what: Any) -> dict[str, Any]:
        """One question, one answer."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps(what) + "\n")
        self._child.stdin.flush()
        answer: dict[str, Any] = json.loads(self._child.stdout.readline())
        return answer

    def decode(self, dialect: str, body: bytes) -> dict[str, Any]:
        """`mti`, `fields` and `hex` of a message from its MTI on, or `error`."""
        return self.ask(op="decode", dialect=dialect, hex=body.hex())

    def encode(self, dialect: str, mti: str, fields: Iterable[tuple[int, str]]) -> dict[str, Any]:
        """`hex`, or `error`."""
        return self.ask(op="encode", dialect=dialect, mti=mti, fields={str(number): value for number, value in fields})

    def rows(self, dialect: str) -> dict[int, tuple[str, int, int]]:
        """Its field table: type, maximum, digits of the prefix."""
        rows = self.ask(op="spec", dialect=dialect)["rows"]
        return {row["field"]: (row["type"], row["max"], row["prefix"]) for row in rows}

    def close(self) -> None:
        """Ends with its input."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait(10)
