"""`credential:NAME`: what the service manager hands over, and the same file for whoever looks from outside."""

from pathlib import Path

import pytest

from posd.config import file, load
from posd.config.machine import check_environment
from posd.errors import ConfigError
from posd.security import secretfile
from posd.security.machine import create_machine_key
from posd.settings import Settings

KEY = "0123456789ABCDEFFEDCBA9876543210"


def settings(folder: Path, machine_key: str = "credential:keys_machine.key") -> Settings:
    (folder / "posd.yaml").write_text(
        f"version: 1\nmachine_key_file: {machine_key}\nstate_dir: state\ncontrol_socket: control.sock\n"
        'host: {address: "127.0.0.1:5000"}\n'
        'till: {listen: "127.0.0.1:7080", token_file: "credential:keys_till.token"}\n'
        'terminals: [{tid: "10000001", mid: "898100012345678", tmk_file: "credential:keys_10000001.tmk"}]\n'
    )
    return load(folder / "posd.yaml")


def write_keys(folder: Path, prefix: str = "") -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    create_machine_key(folder / f"{prefix}machine.key")
    for name, text in (("10000001.tmk", KEY), ("till.token", "t" * 40)):
        (folder / f"{prefix}{name}").touch(mode=0o600)
        (folder / f"{prefix}{name}").write_text(text)


def test_in_the_service_it_is_in_the_folder_of_the_service_manager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tmp_path / "credentials"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(given))
    write_keys(given, "keys_")
    found = settings(tmp_path)
    assert found.machine_key_file == given / "keys_machine.key"
    assert found.terminals[0].tmk_file == given / "keys_10000001.tmk"
    assert found.till.token_file == given / "keys_till.token"
    assert check_environment(found) == []


def test_outside_it_is_the_file_that_the_unit_takes_it_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    write_keys(tmp_path / "keys")
    found = settings(tmp_path)
    assert found.machine_key_file == tmp_path / "keys" / "machine.key"
    assert check_environment(found) == []


def test_sealed_keys_are_those_of_the_running_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clear files are gone from the machine; systemd keeps what it gave to the service for root too."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    run = tmp_path / "run"
    monkeypatch.setattr(file, "SERVICES_FOLDER", tmp_path)
    monkeypatch.setattr(file, "HANDED_OVER_ROOT", run)
    monkeypatch.setattr(secretfile, "HANDED_OVER_ROOT", run)
    for folder, unit in (("posd", "posd.service"), ("posd-north", "posd@north.service")):
        run.mkdir(exist_ok=True)
        write_keys(run / unit, "keys_")
        (run / unit / "keys_machine.key").chmod(0o440)  # systemd's ACL for the service's user
        (tmp_path / folder).mkdir()
        found = settings(tmp_path / folder)
        assert found.machine_key_file == run / unit / "keys_machine.key"
        assert check_environment(found) == []
    write_keys(tmp_path / "posd" / "keys")
    assert settings(tmp_path / "posd").machine_key_file == tmp_path / "posd" / "keys" / "machine.key"


def test_sealed_keys_of_a_stopped_service_are_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "sealed").mkdir()
    (tmp_path / "sealed" / "machine.key").touch()
    (problem, *_) = check_environment(settings(tmp_path))
    assert problem.hint.startswith(f"it is sealed ({tmp_path}/sealed/machine.key): only the running service has it")


def test_the_error_says_what_the_unit_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    (problem, *_) = check_environment(settings(tmp_path))
    assert "LoadCredential=" in str(problem)


@pytest.mark.parametrize("name", ["", "..", ".", "../machine.key", "keys/machine.key", "a b", "x" * 256])
def test_it_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="not the name of a credential"):
        settings(tmp_path, f'"credential:{name}"')


def test_a_key_that_was_pasted_there_is_refused_and_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="looks like a key") as refused:
        settings(tmp_path, f"credential:{KEY}")
    assert KEY not in str(refused.value)
