"""Who may do what, in the configuration: nothing that cannot be meant, and names that this machine does not know."""

import os
import pwd
from pathlib import Path

import pytest

from posd.config import load, load_document
from posd.config.access import problems_of_names
from posd.errors import ConfigError
from posd.settings import Grantee
from tests.config.test_till_settings import SMALL

ME = pwd.getpwuid(os.getuid()).pw_name


def written(folder: Path, text: str) -> Path:
    path = folder / "posd.yaml"
    path.write_text(f"{SMALL}{text}\n")
    return path


def test_without_a_section_it_is_as_it_was(tmp_path: Path) -> None:
    settings = load(written(tmp_path, ""))
    socket = (Grantee("socket"),)
    assert (settings.access.view, settings.access.operate, settings.access.approve) == (socket, socket, socket)
    assert settings.access.keys == ()
    assert settings.approval.two_people_above == 0


def test_users_and_groups_by_name_or_number(tmp_path: Path) -> None:
    access = load(written(tmp_path, 'access: {approve: ["user:lina", "group:1001", socket], operate: "user:0"}')).access
    assert access.approve == (Grantee("user", "lina"), Grantee("group", "1001"), Grantee("socket"))
    assert [str(one) for one in access.approve] == ["user:lina", "group:1001", "socket"]
    assert (access.approve[1].number, access.operate) == (1001, (Grantee("user", "0"),))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("access: {approve: [lina]}", "access.approve[0]: must be a user, a group, or the word socket"),
        ('access: {approve: ["user:"]}', "must be a user"),
        ('access: {approve: ["user:a b"]}', "must be a user"),
        ('access: {approve: ["token:display"]}', "must be a user"),
        ('access: {approve: ["user:4294967295"]}', "an id is 0 to 4294967294"),
        ("access: {approve: [socket, socket]}", "the same item stands here twice"),
        ("access: {aprove: [socket]}", "did you mean 'approve'?"),
        ("approval: {two_people_above: much}", "approval.two_people_above: must be an amount"),
        ("approval: {proposal_ends_after_s: 5}", "approval.proposal_ends_after_s"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, text))
    assert says in str(caught.value)
    assert "posd.yaml:8:" in str(caught.value)


def test_names_that_are_nobodys_here_are_named_with_their_place(tmp_path: Path) -> None:
    approve = f'["user:{ME}", "user:no-such-user", "user:4000000001"]'
    text = f'access: {{view: [socket], approve: {approve}, keys: ["group:no-such"]}}'
    settings, document = load_document(written(tmp_path, text))
    said = [str(problem) for problem in problems_of_names(settings, document)]
    assert [line.split(": ")[2].split(" on this")[0] for line in said] == [
        "there is no user no-such-user",
        "there is no user 4000000001",
        "there is no group no-such",
    ]
    assert all("posd.yaml:8:" in line for line in said)
