"""Journals for tests: a small real sealer, rows that look like a sale's, a VFS that counts and fails."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from posd.errors import KeyTrouble
from posd.journal.contract import MessageRow, RecordRow, Row, Sealed
from posd.journal.opening import open_store
from posd.journal.sqlite import SqliteStore

CHAIN_KEY = bytes(range(32))
DIGEST_KEY = bytes(range(32, 64))
CANARY_PAN = "6225880212345678901"


class TestSealer:
    """AES-GCM under one fixed key; real enough that a moved ciphertext does not open."""

    __test__ = False

    def __init__(self, key: bytes = b"s" * 32) -> None:
        self._cipher = AESGCM(key)

    def seal(self, plain: bytes, aad: bytes, tid: str, batch: int) -> Sealed:
        nonce = os.urandom(12)
        return Sealed("00000000000000aa", nonce, self._cipher.encrypt(nonce, plain, aad))

    def open(self, sealed: Any, aad: bytes) -> bytes:
        try:
            return self._cipher.decrypt(sealed.nonce, sealed.ciphertext, aad)
        except InvalidTag:
            raise KeyTrouble("not the sealed row") from None


class Rows:
    """A sale's rows: what the tests append."""

    @staticmethod
    def record(number: int, tid: str = "12345678", **other: Any) -> RecordRow:
        stan = number % 999_999 + 1
        given: dict[str, Any] = {
            "request_id": f"{tid}/000001/{stan:06d}/0200/000000",
            "stan": stan,
            "rrn": f"{number:012d}",
            "batch": 1,
            "secret": b'{"pan":"' + CANARY_PAN.encode() + b'"}',
        }
        return RecordRow(tid, "Approved", 1, 1_765_000_000_000 + number, f'{{"n":{number}}}', **{**given, **other})

    @staticmethod
    def message(number: int, tid: str = "12345678", **other: Any) -> MessageRow:
        given: dict[str, Any] = {"stan": number % 999_999 + 1, "secret": CANARY_PAN.encode()}
        raw = b"\x02\x00" + CANARY_PAN.encode() + number.to_bytes(4, "big")
        at_ms = 1_765_000_000_000 + number
        fields = f'{{"2":"622588*********8901","11":"{number:06d}"}}'
        return MessageRow(tid, at_ms, "out", "host", "0200", fields, raw, **{**given, **other})

    def sale(self, number: int, tid: str = "12345678") -> list[Row]:
        return [self.record(number, tid), self.message(number, tid)]


class DiskVfs(apsw.VFS):
    """The default VFS, counting syncs and failing on demand.

    `syncs`: by the end of the file's name. `fail`: called with operation and file name before each sync and
    write; what it returns, an exception, is raised.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.syncs: Counter[str] = Counter()
        self.fail: Callable[[str, str], Exception | None] = lambda operation, file: None
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return DiskFile(self, name, flags)

    def before(self, operation: str, file: str) -> None:
        error = self.fail(operation, file)
        if error is not None:
            raise error


class DiskFile(apsw.VFSFile):
    def __init__(self, vfs: DiskVfs, name: Any, flags: list[int]) -> None:
        self.vfs = vfs
        path = name if name is None or isinstance(name, str) else name.filename()
        self.suffix = "" if path is None else Path(path).name.removeprefix("journal")
        super().__init__("", name, flags)

    def xSync(self, flags: int) -> None:
        self.vfs.before("sync", self.suffix)
        self.vfs.syncs[self.suffix] += 1
        super().xSync(flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        self.vfs.before("write", self.suffix)
        super().xWrite(data, offset)


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def opening_at() -> Iterator[Callable[..., SqliteStore]]:
    """Opens the journal in a folder; what a test leaves open is closed."""
    stores: list[SqliteStore] = []

    def opening(folder: Path, **other: Any) -> SqliteStore:
        given: dict[str, Any] = {"chain_key": CHAIN_KEY, "ballast_bytes": 4096, "free_bytes_min": 0, **other}
        store = open_store(
            folder, given.pop("chain_key"), DIGEST_KEY, given.pop("sealer", None) or TestSealer(), **given
        )
        stores.append(store)
        return store

    yield opening
    for store in stores:
        store.close()


@pytest.fixture
def opened(folder: Path, opening_at: Callable[..., SqliteStore]) -> Callable[..., SqliteStore]:
    """Opens the journal in `folder`; what a test leaves open is closed."""
    return partial(opening_at, folder)


@pytest.fixture
def disk(request: pytest.FixtureRequest) -> Iterator[DiskVfs]:
    vfs = DiskVfs(f"disk-{request.node.name}")
    yield vfs
    vfs.unregister()


@pytest.fixture
def chain_key() -> bytes:
    return CHAIN_KEY


@pytest.fixture
def digest_key() -> bytes:
    return DIGEST_KEY


@pytest.fixture
def sealer() -> TestSealer:
    return TestSealer()


@pytest.fixture
def canary() -> str:
    return CANARY_PAN
