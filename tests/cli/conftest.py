"""A shop with its files: configuration, keys, a real journal, and a daemon's control socket in a thread of its own."""

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from posd.__main__ import main
from posd.config import load
from posd.daemon.control.server import ControlServer
from posd.daemon.control.verbs import VERBS, Control
from posd.daemon.shown.offline import journal_folder
from posd.journal.contract import RecordView
from posd.journal.opening import open_store
from posd.journal.reader import JournalReader
from posd.journal.sqlite import SqliteStore
from posd.security.machine import create_machine_key
from posd.security.vault import DataKeys
from posd.settings import Settings
from tests.daemon.shop import EVERYTHING, OTHER_TID, TID, Runner, Shop, a_shop

LIMIT_S = 10


@dataclass
class Ran:
    """What a command said."""

    status: int
    out: str
    err: str


@dataclass
class Place:
    """A folder with posd's files. `shop` is what a daemon there would hold; its rows are in the journal."""

    folder: Path
    settings: Settings
    store: SqliteStore
    shop: Shop = field(init=False)

    def __post_init__(self) -> None:
        self.shop = a_shop(TID, OTHER_TID, remember=lambda rows: self.store.write([rows]) and None)

    @property
    def config(self) -> Path:
        return self.folder / "posd.yaml"

    @property
    def runner(self) -> Runner:
        return self.shop.lanes[TID]

    def rows(self, kind: str) -> list[RecordView]:
        """The journal's records of that kind."""
        with JournalReader(journal_folder(self.settings)) as reader:
            return list(reader.records(kind=kind))


class Served:
    """The daemon's side of the control socket, in a thread; the shop is driven by `do`, in that thread."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> "Served":
        self._server = ControlServer(
            self._place.settings.control_socket, Control(self._place.shop, EVERYTHING).handle, VERBS
        )
        self._thread.start()
        self._run(self._server.start())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(LIMIT_S)

    def host_answers(self) -> None:
        """From now on the host answers every exchange well, a moment later."""

        def look() -> None:
            for runner in self._place.shop.lanes.values():
                exchange = runner.state.exchange
                match exchange.kind.value if exchange else "":
                    case "sign_in":
                        runner.signs_in()
                    case "totals":
                        runner.agrees()
                    case "trailer" | "upload":
                        runner.answers("")
                    case "reversal":
                        runner.answers("00")
            self._loop.call_later(0.01, look)

        self._loop.call_soon_threadsafe(look)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    terminals = "".join(f'  - {{tid: "{tid}", mid: "898100012345678", tmk_file: tmk}}\n' for tid in (TID, OTHER_TID))
    (tmp_path / "posd.yaml").write_text(
        'version: 1\nhost: {address: "127.0.0.1:5000"}\nreversal: {attempts: 2}\n'
        f"state_dir: state\ncontrol_socket: control\nmachine_key_file: machine.key\nterminals:\n{terminals}"
    )
    (tmp_path / "tmk").write_text("0123456789ABCDEFFEDCBA9876543210\n")
    (tmp_path / "tmk").chmod(0o600)
    key = create_machine_key(tmp_path / "machine.key")
    settings = load(tmp_path / "posd.yaml")
    settings.state_dir.mkdir()
    keys = DataKeys(settings.state_dir / "keys", key)
    store = open_store(
        journal_folder(settings),
        key.derive("chain"),
        key.derive("digest"),
        keys,
        ballast_bytes=4096,
        free_bytes_min=0,
    )
    yield Place(tmp_path, settings, store)
    store.close()


@pytest.fixture
def served(place: Place) -> Iterator[Served]:
    with Served(place) as served:
        yield served


@pytest.fixture
def posd(place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Runs a command in this process, with the shop's configuration."""
    monkeypatch.setenv("POSD_CONFIG", str(place.config))
    monkeypatch.setenv("LANG", "C.UTF-8")
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)

    def run(*args: str) -> Ran:
        capsys.readouterr()
        status = main(args)
        said = capsys.readouterr()
        return Ran(status, said.out, said.err)

    return run
