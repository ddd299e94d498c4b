"""The settings of the JSON door: off by default, and never a way for card data onto a network."""

from pathlib import Path

import pytest

from posd.config import load, load_document
from posd.config.machine import check_environment
from posd.errors import ConfigError
from posd.security.machine import create_machine_key
from posd.settings import Address

SMALL = """\
version: 1
state_dir: state
control_socket: control.sock
machine_key_file: machine.key
host: {address: "127.0.0.1:5000"}
door: {listen: "127.0.0.1:7000"}
terminals: [{tid: "10000001", mid: "898100012345678", tmk_file: tmk}]
"""


def written(folder: Path, till: str) -> Path:
    path = folder / "posd.yaml"
    path.write_text(f"{SMALL}till: {till}\n")
    return path


def complaint(folder: Path, till: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(written(folder, till))
    return str(caught.value)


def test_it_is_off_without_a_place(tmp_path: Path) -> None:
    assert not load(written(tmp_path, "{}")).till.is_on
    assert not load(written(tmp_path, '{socket: "", listen: "", token_file: ""}')).till.is_on


def test_a_socket_a_port_or_both(tmp_path: Path) -> None:
    till = load(written(tmp_path, '{socket: till.sock, listen: "127.0.0.1:7080", token_file: token}')).till
    assert (till.is_on, till.socket, till.listen) == (True, tmp_path / "till.sock", Address("127.0.0.1", 7080))
    assert (till.token_file, till.card_data, till.confirm_within_s) == (tmp_path / "token", "refused", 0)
    assert load(written(tmp_path, "{socket: till.sock}")).till.is_on


@pytest.mark.parametrize(
    ("till", "says"),
    [
        ('{listen: "192.168.1.5:7080", token_file: t}', "till.listen: can be reached from other machines"),
        ('{listen: "0.0.0.0:7080", token_file: t}', "till.listen: can be reached from other machines"),
        ('{listen: "127.0.0.1:7080"}', "till.listen: needs a token"),
        ('{listen: "0.0.0.0:7080", token_file: t, open_to_network: yes}', "till.open_to_network"),
        (
            '{listen: "127.0.0.1:7080", token_file: t, open_to_network: "yes, behind our own TLS proxy"}',
            "is of use only",
        ),
        ('{listen: "0.0.0.0:7080", open_to_network: "yes, behind our own TLS proxy"}', "till.listen: needs a token"),
        ("{socket: till.sock, tokens: [{name: a, file: t}]}", "till.tokens: is of use for till.listen only"),
        (
            '{listen: "127.0.0.1:7080", tokens: [{name: a, file: t}, {name: a, file: u}]}',
            "tokens[1].name: stands here twice",
        ),
        ('{listen: "127.0.0.1:7080", token_file: t, tokens: [{name: till, file: u}]}', "is the name of token_file's"),
        (
            '{listen: "127.0.0.1:7080", tokens: [{name: a, file: t}, {name: b, file: t}]}',
            "is the file of another token",
        ),
        ('{listen: "127.0.0.1:7080", tokens: [{name: a, file: t, role: approve}]}', "till.tokens[0].role"),
        ('{listen: "127.0.0.1:7080", tokens: [{name: "a b", file: t}]}', "till.tokens[0].name"),
        ("{socket: till.sock, token_file: t}", "till.token_file: is of use for till.listen only"),
        ("{socket: control.sock}", "till.socket: is the control socket"),
        ('{listen: "127.0.0.1:7000", token_file: t}', "till.listen: is the terminals' door"),
        ("{socket: till.sock, card_data: yes}", "till.card_data"),
        ("{socket: till.sock, confirm_within_s: 3601}", "till.confirm_within_s"),
        ("{socket: till.sock, confirm_within_s: -1}", "till.confirm_within_s"),
        ("{socket: till.sock, connections_max: 0}", "till.connections_max"),
        ("{socket: till.sock, tokenfile: t}", "did you mean 'token_file'?"),
        (f'{{socket: "{"x" * 120}"}}', "too long for a Unix socket"),
    ],
)
def test_what_would_be_unsafe_or_wrong_is_refused_with_its_place(tmp_path: Path, till: str, says: str) -> None:
    said = complaint(tmp_path, till)
    assert says in said
    assert "posd.yaml:8:" in said


def test_the_machine_is_asked_for_the_token(tmp_path: Path) -> None:
    create_machine_key(tmp_path / "machine.key")
    settings, document = load_document(written(tmp_path, '{listen: "127.0.0.1:7080", token_file: token}'))
    found = [str(problem) for problem in check_environment(settings, document)]
    assert any("till.token_file" in line and "no such file" in line for line in found)
    (tmp_path / "token").touch(mode=0o600)
    (tmp_path / "token").write_text("0123456789abcdef" * 2)
    assert not any("till" in str(problem) for problem in check_environment(settings, document))


def test_other_machines_may_reach_it_in_the_shops_own_words_only(tmp_path: Path) -> None:
    words = 'open_to_network: "yes, behind our own TLS proxy"'
    till = load(written(tmp_path, f'{{listen: "0.0.0.0:7080", token_file: t, {words}}}')).till
    assert till.on_network
    assert not load(written(tmp_path, '{listen: "127.0.0.1:7080", token_file: t}')).till.on_network


def test_each_till_may_have_a_token_of_its_own(tmp_path: Path) -> None:
    tokens = "[{name: counter-1, file: a}, {name: display, file: b, role: view}]"
    till = load(written(tmp_path, f'{{listen: "127.0.0.1:7080", token_file: t, tokens: {tokens}}}')).till
    assert till.every_token == (
        ("till", tmp_path / "t", "operate"),
        ("counter-1", tmp_path / "a", "operate"),
        ("display", tmp_path / "b", "view"),
    )
