"""The ways to the acquirer in the configuration: what is filled in, and each contradiction with both its places."""

from pathlib import Path

import pytest

from posd.config import load
from posd.errors import ConfigError
from posd.settings import Address, BindSettings, ReconnectSettings, Route

HEAD = """\
version: 1
state_dir: state
control_socket: run/control.sock
machine_key_file: machine.key
terminals:
  - {tid: "00012345", mid: "898100012345678"}
host:
"""
TWO = """\
  routes:
    - {name: wired, address: "10.0.0.1:5000"}
    - {name: mobile, address: "10.9.0.1:5001", connect_timeout_s: 20, bind: {interface: wwan0}}
"""


def _write(folder: Path, text: str) -> Path:
    path = folder / "posd.yaml"
    path.write_text(text)
    return path


def _refused(folder: Path, host: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(_write(folder, HEAD + host))
    return str(caught.value).replace(f"{folder}/", "").split("\n")


def test_a_route_takes_what_it_does_not_say_from_the_host(tmp_path: Path) -> None:
    own = (
        "    - {name: third, address: '10.8.0.1:1', mode: one_shot, reconnect: {first_s: 2}, bind: {address: '::1'}}\n"
    )
    host = load(_write(tmp_path, HEAD + "  connect_timeout_s: 7\n" + TWO + own)).host
    usual = ReconnectSettings()
    assert host.every_route() == (
        Route("wired", Address("10.0.0.1", 5000), 7.0, usual, "persistent"),
        Route("mobile", Address("10.9.0.1", 5001), 20.0, usual, "persistent", BindSettings(interface="wwan0")),
        Route(
            "third", Address("10.8.0.1", 1), 7.0, ReconnectSettings(first_s=2), "one_shot", BindSettings(address="::1")
        ),
    )
    assert host.longest_connect_s == 20.0


def test_an_address_is_one_route_without_a_name(tmp_path: Path) -> None:
    host = load(_write(tmp_path, HEAD + '  address: "10.0.0.1:5000"\n  mode: one_shot\n')).host
    assert host.every_route() == (Route("", Address("10.0.0.1", 5000), 10.0, ReconnectSettings(), "one_shot"),)


@pytest.mark.parametrize(
    ("host", "problem"),
    [
        ("  tpdu: '6000030000'\n", "posd.yaml:7:1: host: neither address nor routes is given; write address: "),
        (
            '  address: "10.0.0.1:5000"\n' + TWO,
            "posd.yaml:9:3: host.routes: stands beside host.address (line 8), which is a route without a name; ",
        ),
        (
            TWO.replace("mobile", "wired"),
            "posd.yaml:10:8: host.routes[1].name: the route at line 9 has the same name; give each a name of its own",
        ),
        (
            TWO + "  echo_interval_s: 60\n  idle_limit_s: 60\n  failover: {good_for_s: 30}\n",
            "posd.yaml:11:3: host.echo_interval_s: 60 s is not shorter than host.idle_limit_s (60 s, line 12); ",
        ),
        (
            TWO + "  idle_limit_s: 90\n",
            "host.echo_interval_s: echoes are off (0), but idle lines are cut after host.idle_limit_s (90 s, line 11)",
        ),
        (
            TWO + "  echo_interval_s: 20\n  idle_limit_s: 60\n",
            "host.failover.good_for_s: 60 s is not shorter than host.idle_limit_s (60 s, line 12): an idle",
        ),
        (
            TWO.replace("connect_timeout_s: 20", "connect_timeout_s: 50"),
            "door.terminal_timeout_s: 75 s is not longer than host.routes[1].connect_timeout_s (50 s, line 10) + ",
        ),
        (
            TWO.replace("connect_timeout_s: 20", "mode: one_shot, connect_timeout_s: 40") + "  reply_timeout_s: 30\n",
            "host.routes[1].connect_timeout_s: 40 s is not shorter than host.reply_timeout_s (30 s, line 11); in mode ",
        ),
        (
            TWO.replace("connect_timeout_s: 20", "reconnect: {first_s: 99}"),
            "host.routes[1].reconnect.first_s: 99 s is longer than host.routes[1].reconnect.max_s (60 s, default)",
        ),
        (TWO.replace("mobile", "mo bile"), "host.routes[1].name: must be 1 to 24 letters"),
        (TWO.replace("wwan0", "wwan0/x"), "host.routes[1].bind.interface: must be the name of a network interface"),
        (
            TWO.replace("interface: wwan0", "address: wwan0"),
            "host.routes[1].bind.address: must be an IP address of this",
        ),
        (TWO.replace("{interface: wwan0}", "{}"), "host.routes[1].bind: give one of interface and address; "),
        (
            TWO.replace("wwan0}", "wwan0, address: '10.1.1.1'}"),
            "host.routes[1].bind: give one of interface and address; ",
        ),
        (TWO.replace("bind", "bnid"), "host.routes[1].bnid: unknown setting; did you mean 'bind'?"),
        (TWO + "  failover: {connect_failures: 0}\n", "host.failover.connect_failures: "),
        ("  routes: []\n", "host: neither address nor routes is given"),
    ],
)
def test_what_is_refused_names_both_places(tmp_path: Path, host: str, problem: str) -> None:
    (line,) = _refused(tmp_path, host)
    assert problem in line


def test_an_idle_limit_says_nothing_to_connections_for_each_message(tmp_path: Path) -> None:
    settings = load(_write(tmp_path, HEAD + '  address: "10.0.0.1:5000"\n  mode: one_shot\n  idle_limit_s: 30\n'))
    assert settings.host.echo_interval_s == 0
