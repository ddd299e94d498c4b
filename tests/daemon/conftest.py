"""A stage for each test that wants one, or an empty journal with its settings."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from posd.config import load
from posd.daemon.shown.offline import journal_folder
from posd.journal.opening import open_store
from posd.journal.sqlite import SqliteStore
from posd.security.machine import create_machine_key, load_machine_key
from posd.security.vault import DataKeys
from posd.settings import Settings
from tests.daemon.shop import OTHER_TID, TID
from tests.daemon.stage import Stage


@pytest.fixture
def staged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Stage]:
    """A stage in the test's own folder; keyword arguments as of Stage."""

    def make(**how: Any) -> Stage:
        return Stage(tmp_path, monkeypatch, **how)

    return make


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    terminals = "".join(f'  - {{tid: "{tid}", mid: "898100012345678", tmk_file: tmk}}\n' for tid in (TID, OTHER_TID))
    (tmp_path / "posd.yaml").write_text(
        'version: 1\nhost: {address: "127.0.0.1:5000"}\nreversal: {attempts: 2}\n'
        f"state_dir: state\ncontrol_socket: control\nmachine_key_file: machine.key\nterminals:\n{terminals}"
    )
    create_machine_key(tmp_path / "machine.key")
    return load(tmp_path / "posd.yaml")


@pytest.fixture
def store(settings: Settings, tmp_path: Path) -> Iterator[SqliteStore]:
    folder = journal_folder(settings)
    folder.parent.mkdir()
    key = load_machine_key(settings.machine_key_file)
    keys = DataKeys(tmp_path / "keys", key)
    store = open_store(folder, key.derive("chain"), key.derive("digest"), keys, ballast_bytes=4096, free_bytes_min=0)
    yield store
    store.close()
