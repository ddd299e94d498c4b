"""The machine key's file and the keys derived from it."""

import copy
import pickle
import stat
from pathlib import Path

import pytest

from posd.errors import ConfigError
from posd.security.machine import MachineKey, create_machine_key, load_machine_key


def test_create_then_load(tmp_path: Path) -> None:
    path = tmp_path / "machine.key"
    created = create_machine_key(path)
    assert load_machine_key(path) == created
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == created.secret.hex() + "\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["machine.key"]
    assert create_machine_key(tmp_path / "other.key") != created


def test_an_existing_key_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "machine.key"
    created = create_machine_key(path)
    with pytest.raises(ConfigError, match="exists already"):
        create_machine_key(path)
    assert load_machine_key(path) == created
    assert [entry.name for entry in tmp_path.iterdir()] == ["machine.key"]


def test_an_unwritable_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file or directory") as caught:
        create_machine_key(tmp_path / "absent" / "machine.key")
    assert "\n" not in str(caught.value)


def test_derived_keys_differ_and_last(machine_key: MachineKey) -> None:
    keys = {purpose: machine_key.derive(purpose) for purpose in ("chain", "digest", "card")}
    assert len(set(keys.values())) == 3
    assert all(len(key) == 32 and key != machine_key.secret for key in keys.values())
    # for ever the same: a change would make every journal unreadable
    assert keys["chain"].hex() == "85871c6e4d6de20d94f80f640db91a37b8dcbaa437bf58306578a53bc75e18c4"
    assert MachineKey(bytes(32)).derive("chain") != keys["chain"]


@pytest.mark.parametrize("text", ["", "00" * 31, "00" * 33, "zz" * 32])
def test_a_malformed_key_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "machine.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="write 64 hexadecimal digits"):
        load_machine_key(path)


def test_a_key_open_to_others_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "machine.key"
    create_machine_key(path)
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_machine_key(path)


def test_the_key_is_never_shown_pickled_or_copied(machine_key: MachineKey) -> None:
    assert repr(machine_key) == str(machine_key) == f"{machine_key}" == "<MachineKey ***>"
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="never pickled"):
            leak(machine_key)
