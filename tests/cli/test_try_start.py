"""`posd check-config` finds out before the start what the start would refuse, and changes nothing."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posd.cli.try_start import User, service_user
from posd.daemon.doors.door_view import DoorShown
from posd.daemon.shown.offline import journal_folder
from posd.security.machine import create_machine_key
from tests.daemon.shop import TID
from tests.daemon.stage import free_port

Posd = Callable[..., Any]
SOMEBODY = 1


def checked(posd: Posd, place: Any) -> list[dict[str, Any]]:
    ran = posd("check-config", str(place.config), "--json")
    found: list[dict[str, Any]] = json.loads(ran.out)
    assert ran.status == (2 if found else 0)
    return found


def add(place: Any, text: str) -> None:
    place.config.write_text(place.config.read_text() + text)


@pytest.fixture
def taken() -> Any:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_that_another_program_holds(posd: Posd, place: Any, taken: int) -> None:
    add(place, f'door: {{listen: "127.0.0.1:{taken}"}}\n')
    (found,) = checked(posd, place)
    assert found["path"] == "door.listen"
    assert found["what"] == f"127.0.0.1:{taken} cannot be listened on: address already in use"
    assert found["hint"].startswith("stop the program that holds it")
    said = posd("check-config", str(place.config))
    assert all(line.startswith("posd: ") for line in said.err.splitlines())


def test_a_port_that_this_posd_holds_is_good(posd: Posd, place: Any, served: Any, taken: int) -> None:
    add(place, f'door: {{listen: "127.0.0.1:{taken}"}}\n')
    assert checked(posd, place), "a posd that has other doors does not excuse it"
    place.shop.doors = [DoorShown("tcp", f"127.0.0.1:{taken}", True, "", 0, 8)]
    assert checked(posd, place) == []


def test_a_port_is_free_again_after_it_was_tried(posd: Posd, place: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    add(place, f'door: {{listen: "127.0.0.1:{port}"}}\n')
    assert checked(posd, place) == []
    socket.create_server(("127.0.0.1", port)).close()


def test_d32_a_ballast_larger_than_the_disk(posd: Posd, place: Any) -> None:
    whole = os.statvfs(place.folder).f_blocks * os.statvfs(place.folder).f_frsize
    before = place.config.read_text()
    add(place, f"journal: {{ballast_bytes: {whole}}}\n")
    (found,) = checked(posd, place)
    assert (found["path"], found["hint"][:8]) == ("journal.ballast_bytes", "lower it")
    place.config.write_text(before + f"journal: {{free_bytes_min: {whole + 1}}}\n")
    (found,) = checked(posd, place)
    assert found["path"] == "journal.free_bytes_min"


def test_a_machine_key_that_is_not_the_journals(posd: Posd, place: Any) -> None:
    place.runner.sells()
    assert checked(posd, place) == []
    (place.folder / "machine.key").unlink()
    create_machine_key(place.folder / "machine.key")
    (found,) = checked(posd, place)
    assert found["path"] == "state_dir"
    assert "the machine key does not fit this journal" in found["what"]
    assert found["hint"] == "give the key that it was written with"


def test_d31_a_journal_that_was_lost(posd: Posd, place: Any) -> None:
    place.runner.sells()
    place.store.close()
    for file in journal_folder(place.settings).glob("journal.db*"):
        file.unlink()
    (found,) = checked(posd, place)
    assert "the anchor knows row" in found["what"]
    assert "restore" in found["hint"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_is_told_what_the_services_user_may_not(posd: Posd, place: Any) -> None:
    os.chown(place.folder / "machine.key", SOMEBODY, SOMEBODY)
    assert service_user(place.settings).uid == SOMEBODY
    found = {one["path"]: one for one in checked(posd, place)}
    assert "is closed to" in found["terminals[0].tmk_file"]["what"]
    place.folder.chmod(0o755)
    found = {one["path"]: one for one in checked(posd, place)}
    assert "cannot be read by" in found["terminals[0].tmk_file"]["what"]
    assert found["terminals[0].tmk_file"]["hint"].startswith("run: chown ")
    assert "cannot be written to by" in found["state_dir"]["what"]
    for path in [place.folder, *place.folder.rglob("*")]:
        os.chown(path, SOMEBODY, SOMEBODY)
    assert checked(posd, place) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_where_keys_are_credentials_the_services_user_is_known_by_its_state(posd: Posd, place: Any) -> None:
    """`posd setup` makes it so: the keys are root's, and the service gets copies of them."""
    for path in (place.folder, place.settings.state_dir, *place.settings.state_dir.rglob("*"), place.config):
        os.chown(path, SOMEBODY, SOMEBODY)
    token = place.folder / "keys" / "till.token"
    token.parent.mkdir(mode=0o700)
    token.touch(mode=0o600)
    token.write_text("0123456789abcdef" * 2)
    add(place, f'till: {{listen: "127.0.0.1:{free_port()}", token_file: "credential:keys_till.token"}}\n')
    assert service_user(place.settings).uid == SOMEBODY
    found = {one["path"]: one["what"] for one in checked(posd, place)}
    assert found.keys() == {"machine_key_file", "terminals[0].tmk_file", "terminals[1].tmk_file"}
    assert "cannot be read by" in found["machine_key_file"]
    place.config.write_text(place.config.read_text().replace("credential:keys_till.token", "keys/till.token"))
    found = {one["path"]: one["what"] for one in checked(posd, place)}
    assert f"{token.parent} is closed to" in found["till.token_file"]


def test_the_one_who_asks_is_the_service_where_that_is_not_root(place: Any) -> None:
    user = service_user(place.settings)
    assert isinstance(user, User)
    assert user.uid == os.geteuid()
    assert not user.guessed


def test_hints_stand_apart_in_json(posd: Posd, place: Any) -> None:
    (place.folder / "machine.key").chmod(0o644)
    found = checked(posd, place)
    assert all(one["hint"] for one in found)
    assert "; " not in found[0]["what"]


def test_d31_a_lost_journal_is_damage_for_every_reader(posd: Posd, place: Any) -> None:
    place.runner.sells()
    place.store.close()
    for file in journal_folder(place.settings).glob("journal.db*"):
        file.unlink()
    verified = posd("journal", "verify")
    assert verified.status == 1
    assert "the journal was lost" in verified.out
    said = posd("journal", "verify", "--json")
    assert (said.status, json.loads(said.out)["intact"]) == (1, False)
    for args in (("status",), ("journal", "show"), ("txn", "list", "--tid", TID)):
        ran = posd(*args)
        assert ran.status == 3, args
        assert "the anchor knows row" in ran.err


def test_a_place_without_a_journal_is_still_only_new(posd: Posd, place: Any, tmp_path: Path) -> None:
    place.store.close()
    journal = journal_folder(place.settings)
    for file in list(journal.iterdir()):
        file.unlink()
    assert posd("journal", "verify").status == 2
    assert "no journal here yet" in posd("status").err
    assert checked(posd, place) == []


def test_d35_a_terminal_that_was_removed_while_it_owes(posd: Posd, place: Any) -> None:
    place.runner.sells(100)
    kept = [line for line in place.config.read_text().splitlines() if TID not in line]
    place.config.write_text("\n".join(kept) + "\n")
    (found,) = checked(posd, place)
    assert found["path"] == "terminals"
    assert found["what"] == (
        f"terminal {TID} is not in the configuration any more, but its batch is open with 1 transaction(s)"
    )
    assert "put it back" in found["hint"]
