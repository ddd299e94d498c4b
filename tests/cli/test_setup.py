"""What `posd setup` writes and refuses. That it works on a machine is shown by tests/system/test_box.py."""

from pathlib import Path

import pytest

from posd.__main__ import main
from posd.cli.lang import Lang
from posd.cli.setup import machine
from posd.cli.setup.command import Given, _wishes
from posd.cli.setup.config import Wishes, configuration
from posd.cli.setup.place import Place, place_of, place_with
from posd.cli.setup.words import TEXTS
from posd.config import load
from posd.errors import ConfigError
from posd.journal.reader import JournalReader
from posd.security.machine import create_machine_key
from posd.settings import Settings
from tests.daemon.stage import MID, TID, TMK

WISHES = Wishes("10.1.2.3:5000", TID, MID)


def loaded(tmp_path: Path, wishes: Wishes, place: Place = Place()) -> Settings:  # noqa: B008
    (tmp_path / "posd.yaml").write_text(configuration(wishes, place))
    return load(tmp_path / "posd.yaml")


def test_the_answers_stand_in_the_example(tmp_path: Path) -> None:
    wishes = Wishes("10.1.2.3:5000", "TERM0042", "MERCHANT0000042", ("12:00", "23:30"), "Asia/Tokyo", "127.0.0.1:7007")
    found = loaded(tmp_path, wishes)
    assert str(found.host.address) == "10.1.2.3:5000"
    assert [(one.tid, one.mid) for one in found.terminals] == [("TERM0042", "MERCHANT0000042")]
    assert (found.terminals[0].tmk_file, found.keys.home) == (None, "sealed")
    assert found.machine_key_file == tmp_path / "keys" / "machine.key"
    schedule = found.schedule_of(found.terminals[0])
    assert ([f"{at:%H:%M}" for at in schedule.at], schedule.zone) == (["12:00", "23:30"], "Asia/Tokyo")
    assert [str(door) for door in found.door.listen] == ["127.0.0.1:7007"]
    assert not found.till.is_on


def test_a_till_gets_its_door_and_its_token(tmp_path: Path) -> None:
    found = loaded(tmp_path, Wishes("10.1.2.3:5000", TID, MID, till="127.0.0.1:7080"))
    assert (str(found.till.listen), found.till.token_file) == ("127.0.0.1:7080", tmp_path / "keys" / "till.token")


def test_backups_have_a_place_and_copies_of_keys_another(tmp_path: Path) -> None:
    found = loaded(tmp_path, Wishes("10.1.2.3:5000", TID, MID, backup="/mnt/posd/"))
    assert (found.backup.path, found.backup.keys_to) == (Path("/mnt/posd"), Path("/mnt/posd-keys"))
    assert loaded(tmp_path, WISHES).backup.path is None


def test_a_host_over_https_gets_a_connection_for_each_message(tmp_path: Path) -> None:
    assert loaded(tmp_path, Wishes("https://host.example:8443/path", TID, MID)).host.mode == "one_shot"


def test_an_instance_has_folders_of_its_own(tmp_path: Path) -> None:
    place = place_of("north")
    found = loaded(tmp_path, WISHES, place)
    assert (found.state_dir, found.control_socket) == (place.state, place.control_socket)
    assert place_with(place.config) == place
    assert place_with(tmp_path / "posd.yaml") == Place()


@pytest.mark.parametrize("name", ["", "North", "a-b", "../x", "x" * 25, "1st", "a b"])
def test_a_name_that_is_no_name(name: str) -> None:
    with pytest.raises(ConfigError, match="--instance takes"):
        place_of(name)


@pytest.mark.parametrize(
    "wishes",
    [
        Wishes('10.1.2.3:5000"\nstate_dir: /tmp', TID, MID),
        Wishes("10.1.2.3:5000", "a terminal", MID),
        Wishes("10.1.2.3:5000", TID, "short"),
        Wishes("10.1.2.3:5000", TID, MID, ("25:00",)),
        Wishes("10.1.2.3:5000", TID, MID, zone="Asia/Atlantis"),
        Wishes("10.1.2.3:5000", TID, MID, listen="0.0.0.0:7000"),
    ],
)
def test_an_answer_that_cannot_be_used_becomes_no_setting(tmp_path: Path, wishes: Wishes) -> None:
    with pytest.raises(ConfigError):
        loaded(tmp_path, wishes)


@pytest.mark.parametrize("text", ["", "0123", TMK + "00", TMK[:-1] + "G", "０" * 32])
def test_a_key_that_is_none_is_not_shown(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        machine.checked_tmk(text)
    assert not text or text not in str(refused.value)


def test_keys_are_never_replaced(tmp_path: Path) -> None:
    keys = machine.Keys(tmp_path / "machine.key", (), tmp_path / "till.token", tmp_path / "state")
    assert keys.token is not None
    assert machine.have_machine_key(keys)
    assert machine.have_secret(keys.token, "t" * 40)
    before = keys.machine.read_bytes(), keys.token.read_bytes()
    assert not machine.have_machine_key(keys)
    assert not machine.have_secret(keys.token, "u" * 40)
    assert (keys.machine.read_bytes(), keys.token.read_bytes()) == before
    assert {path.stat().st_mode & 0o777 for path in (keys.machine, keys.token)} == {0o600}
    with pytest.raises(ConfigError, match="no key is ever replaced"):
        machine.require_tmks(keys, "F" * 32)


def test_a_tmk_that_is_handed_over_whole_is_sealed_and_noted(tmp_path: Path) -> None:
    settings = loaded(tmp_path, WISHES).model_copy(
        update={"state_dir": tmp_path / "state", "control_socket": tmp_path / "control"}
    )
    (tmp_path / "keys").mkdir()
    create_machine_key(settings.machine_key_file)
    assert machine.lacking(settings) == (TID,)
    sealed = machine.have_tmk(settings, TMK)
    assert sealed is not None
    assert (sealed["check_value"], sealed["by"]) == ("08D7B4FB", ["posd setup"])
    assert (machine.lacking(settings), machine.have_tmk(settings, TMK)) == ((), None)
    assert machine.check_values(settings) == {TID: "08D7B4FB"}
    files = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert [path for path in files if TMK.encode() in path.read_bytes().upper()] == []
    with JournalReader(tmp_path / "state" / "journal") as journal:
        assert [row.kind for row in journal.records()] == ["tmk_loaded"]


def test_no_new_machine_key_for_a_journal_that_has_one(tmp_path: Path) -> None:
    (tmp_path / "state" / "journal").mkdir(parents=True)
    with pytest.raises(ConfigError, match="only its own key can read"):
        machine.have_machine_key(machine.Keys(tmp_path / "machine.key", (), None, tmp_path / "state"))
    assert not (tmp_path / "machine.key").exists()


def test_one_key_is_not_given_to_two_terminals(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"posd keys load: 10000002"):
        machine.require_tmks(machine.Keys(tmp_path / "machine.key", (TID, "10000002"), None, tmp_path), TMK)


def test_backups_where_the_service_cannot_see_them_are_refused(tmp_path: Path) -> None:
    given = Given("10.1.2.3:5000", TID, MID, str(tmp_path / "tmk"), yes=True, instance="nothere", backup="/home/posd")
    (tmp_path / "tmk").touch(mode=0o600)
    (tmp_path / "tmk").write_text(TMK)
    with pytest.raises(ConfigError, match=r"backup\.path: /home/posd lies where a service cannot see it"):
        _wishes(given, Place("nothere"), Lang.EN)


def test_a_key_that_the_service_could_not_read_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of before `posd setup`, or from the NAC example: their machine key is no credential."""
    monkeypatch.setattr(Place, "etc", property(lambda place: tmp_path))
    (tmp_path / "posd.yaml").write_text(
        "version: 1\nmachine_key_file: machine.key\nhost: {profile: nac, address: '127.0.0.1:5000'}\n"
        f"terminals: [{{tid: '{TID}', mid: '{MID}'}}]\n"
    )
    with pytest.raises(ConfigError, match=r"write credential:keys_machine\.key"):
        machine.keys_of(Place(), None)
    text = (tmp_path / "posd.yaml").read_text().replace(": machine.key", ": credential:keys_machine.key")
    (tmp_path / "posd.yaml").write_text(text)
    assert machine.keys_of(Place(), None).machine == tmp_path / "keys" / "machine.key"


def test_it_says_what_yes_lacks(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--host, --mid, --tmk-file"):
        _wishes(Given(tid=TID, yes=True, instance="nothere"), Place("nothere"), Lang.EN)


def test_only_root_can_set_up(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert main(["setup", "--yes"]) == 2
    assert "run it as root" in capsys.readouterr().err


def test_every_text_says_the_same_facts_in_both_languages() -> None:
    import re

    for english, chinese in TEXTS.values():
        assert set(re.findall(r"{\w+}", english)) == set(re.findall(r"{\w+}", chinese))
        assert english
        assert chinese
