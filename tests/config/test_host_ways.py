"""The settings of the way to the host: a connection kept, or one for each message."""

from pathlib import Path

import pytest

from posd.addresses import HostAddress, HttpAddress, TlsAddress
from posd.config import load, load_document
from posd.config.machine import check_environment
from tests.config.test_config import SMALL, _lines, _write
from tests.transport.pki import Pki


def test_a_connection_for_each_message_has_to_be_made_within_the_reply_limit(tmp_path: Path) -> None:
    text = SMALL.replace("host:\n", "host:\n  mode: one_shot\n  connect_timeout_s: 30\n")
    (line,) = _lines(tmp_path, text)
    assert line.startswith("posd.yaml:7:3: host.connect_timeout_s: 30 s is not shorter than host.reply_timeout_s (30 s")
    load(_write(tmp_path, text.replace("connect_timeout_s: 30", "connect_timeout_s: 29")))
    load(_write(tmp_path, text.replace("one_shot", "persistent")))


def test_a_mode_that_posd_does_not_know(tmp_path: Path) -> None:
    (line,) = _lines(tmp_path, SMALL.replace("host:\n", "host:\n  mode: oneshot\n"))
    assert "host.mode" in line


SEALED = SMALL.replace("tmk_file: keys/00012345.tmk", "tmk_index: 0")
WEB = SEALED.replace("address: 127.0.0.1:5000", "mode: one_shot\n  address: ADDRESS")


def _address(tmp_path: Path, text: str) -> HostAddress:
    return load(_write(tmp_path, WEB.replace("ADDRESS", f'"{text}"'))).host.address


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("tls://host.example:5000", TlsAddress("host.example", 5000), "tls://host.example:5000"),
        ("tls://[::1]:5000", TlsAddress("::1", 5000), "tls://[::1]:5000"),
        (
            "https://host.example",
            HttpAddress("host.example", 443, "/unp/webtrans/WPOS"),
            "https://host.example:443/unp/webtrans/WPOS",
        ),
        (
            "https://10.0.0.1:8443/mjc/webtrans/VPB_lb?x=1",
            HttpAddress("10.0.0.1", 8443, "/mjc/webtrans/VPB_lb?x=1"),
            "https://10.0.0.1:8443/mjc/webtrans/VPB_lb?x=1",
        ),
        ("https://[2001:db8::1]/", HttpAddress("2001:db8::1", 443, "/"), "https://[2001:db8::1]:443/"),
        ("http://127.0.0.1:8080/x", HttpAddress("127.0.0.1", 8080, "/x", False), "http://127.0.0.1:8080/x"),
        ("http://localhost", HttpAddress("localhost", 80, encrypted=False), "http://localhost:80/unp/webtrans/WPOS"),
    ],
)
def test_addresses_of_hosts(tmp_path: Path, text: str, address: HostAddress, shown: str) -> None:
    assert _address(tmp_path, text) == address
    assert str(address) == shown


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("http://10.0.0.1/x", "http is not encrypted, and others can read on the way to this host; write https"),
        ("http://shop.example", "http is not encrypted"),
        ("https://user:secret@host.example/", "not a web address"),
        ("https://host.example/a b", "not a web address"),
        ("https://host.example/a#b", "not a web address"),
        ("https://host.example/\\r\\nX: y", "not a web address"),
        ("https://", "not a web address"),
        ("https://host.example:99999/", "the port must be 1 to 65535"),
        ("https://999.1.1.1/", "not an IP address"),
        ("httpss://host.example/", "did you mean 'https'?"),
        ("tls://host.example", "must be an address and a port"),
        ("ftp://host.example", "not a kind of address that posd knows"),
    ],
)
def test_addresses_that_are_none(tmp_path: Path, text: str, what: str) -> None:
    (line,) = _lines(tmp_path, WEB.replace("ADDRESS", f'"{text}"'))
    assert what in line
    assert "secret" not in line


def test_https_is_one_request_for_each_message(tmp_path: Path) -> None:
    (line,) = _lines(tmp_path, SEALED.replace("127.0.0.1:5000", "https://host.example/"))
    assert 'host.mode: each message over HTTPS is a request of its own (host.address, line 6); write "mode' in line


@pytest.mark.parametrize("address", ["127.0.0.1:5000", "http://127.0.0.1/"])
def test_certificates_for_a_line_without_tls(tmp_path: Path, address: str) -> None:
    text = WEB.replace("ADDRESS", f'"{address}"').replace("host:\n", "host:\n  tls: {ca_file: ca.pem}\n")
    (line,) = _lines(tmp_path, text)
    assert "host.tls: host.address (line 8) is not encrypted" in line


def test_a_certificate_without_its_key(tmp_path: Path) -> None:
    text = WEB.replace("ADDRESS", '"https://host.example/"')
    for given, missing in (("certificate_file", "key_file"), ("key_file", "certificate_file")):
        (line,) = _lines(tmp_path, text.replace("host:\n", f"host:\n  tls: {{{given}: x.pem}}\n"))
        assert f"certificate and key belong together; write {missing} too" in line


def test_headers_hold_no_second_line(tmp_path: Path) -> None:
    text = WEB.replace("ADDRESS", '"https://host.example/"')
    (line,) = _lines(tmp_path, text.replace("host:\n", 'host:\n  http: {user_agent: "a\\r\\nX: y"}\n'))
    assert "host.http.user_agent: must be printable ASCII text" in line


def test_certificate_files_are_looked_at_before_the_start(tmp_path: Path) -> None:
    text = WEB.replace("ADDRESS", '"https://host.example/"').replace("host:\n", "host:\n  tls: {ca_file: ca.pem}\n")
    settings, document = load_document(_write(tmp_path, text))
    problems = [str(problem) for problem in check_environment(settings, document)]
    assert any("host.tls" in problem and "ca.pem: no such file or directory" in problem for problem in problems)
    pki = Pki(tmp_path / "pki").make()
    settings, document = load_document(_write(tmp_path, text.replace("ca.pem", str(pki.ca))))
    assert not [problem for problem in check_environment(settings, document) if "host.tls" in str(problem)]
