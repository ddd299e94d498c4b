"""Backups in the configuration: where they must not lie, and what carries them."""

from pathlib import Path

import pytest

from posd.config import load
from posd.errors import ConfigError
from posd.security.machine import create_machine_key
from posd.settings import Settings


def loaded(folder: Path, backup: str) -> Settings:
    if not (folder / "machine.key").exists():
        create_machine_key(folder / "machine.key")
    path = folder / "posd.yaml"
    path.write_text(
        'version: 1\nhost: {address: "127.0.0.1:5000"}\nstate_dir: state\nmachine_key_file: machine.key\n'
        f'backup: {{{backup}}}\nterminals:\n  - {{tid: "10000001", mid: "898100012345678", tmk_file: tmk}}\n'
    )
    return load(path)


def test_what_can_be_said(tmp_path: Path) -> None:
    backup = loaded(tmp_path, 'path: b, keep: 3, keys_to: k, command: ["rsync", "-a", "{file}", "x:y"]').backup
    assert (backup.path, backup.keys_to, backup.keep) == (tmp_path / "b", tmp_path / "k", 3)
    assert backup.command == ("rsync", "-a", "{file}", "x:y")


@pytest.mark.parametrize(
    ("backup", "what"),
    [
        ("path: state/backups", "lies below state_dir"),
        ("path: b, keys_to: state/keys2", "lies below state_dir"),
        ("path: b, keys_to: b/keys", "is of one place with backup.path"),
        ("path: k/b, keys_to: k", "is of one place with backup.path"),
        ("keys_to: k", "does nothing without backup.path"),
        ('command: ["cp", "{file}", "/x"]', "does nothing without backup.path"),
        ('path: b, command: ["cp", "/x"]', "must name what it is to carry"),
        ('path: b, command: ["{file}", "{file}"]', "begins with the program"),
        ('path: b, command: ["cp", "", "{file}"]', "none of them empty"),
        ("path: b, keep: 0", "backup.keep"),
    ],
)
def test_what_contradicts_is_said_with_its_place(tmp_path: Path, backup: str, what: str) -> None:
    with pytest.raises(ConfigError, match=r"posd\.yaml:5:") as refused:
        loaded(tmp_path, backup)
    assert what in str(refused.value)
