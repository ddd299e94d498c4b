"""What the settings about TLS refuse: doors and hosts."""

from pathlib import Path

import pytest

from posd.addresses import TlsAddress
from posd.config import load, load_document
from posd.config.machine import check_environment
from posd.errors import ConfigError
from posd.settings import Settings
from tests.transport.pki import Pki

TEXT = """version: 1
host: {address: "tls://host.example:5000", tls: {HOST}}
door: {listen: LISTEN, tls: {DOOR}}
machine_key_file: machine.key
terminals:
  - {tid: "10000001", mid: "898100012345678", tmk_index: 0}
"""
FILES = "certificate_file: door.pem, key_file: door.key"


def read(
    folder: Path, *, host: str = "", listen: str = '"127.0.0.1:7000"', door: str = "", mac: str = "none"
) -> Settings:
    text = TEXT.replace("HOST", host).replace("LISTEN", listen).replace("DOOR", door)
    path = folder / "posd.yaml"
    path.write_text(text.replace("tmk_index: 0", f"tmk_index: 0, mac: {mac}"))
    return load(path)


def refused(folder: Path, **how: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(folder, **how)
    return str(caught.value).replace(f"{folder}/", "")


def test_pins_are_read_as_openssl_and_curl_write_them(tmp_path: Path) -> None:
    pin = bytes(range(32))
    forms = [pin.hex(), pin.hex(":").upper(), "sha256//AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="]
    for form in forms:
        assert read(tmp_path, host=f'pin: "{form}"').host.tls.pin == (pin,)
    assert read(tmp_path, host=f'pin: ["{pin.hex()}", "{bytes(32).hex()}"]').host.tls.pin == (pin, bytes(32))
    for wrong in ("00", "x" * 64, "AAECAw=="):
        assert "host.tls.pin[0]: must be the SHA-256 of a public key" in refused(tmp_path, host=f'pin: "{wrong}"')
    assert "the same item stands here twice" in refused(tmp_path, host=f'pin: ["{forms[0]}", "{forms[2]}"]')


def test_turning_verification_off_says_what_it_does(tmp_path: Path) -> None:
    words = "no_anyone_may_pretend_to_be_the_host"
    assert not read(tmp_path, host=f"verify: {words}").host.tls.verified
    assert f"must be 'yes' or '{words}'" in refused(tmp_path, host="verify: no")
    both = refused(tmp_path, host=f'verify: {words}, pin: "{bytes(32).hex()}"')
    assert "a pin stands beside verify" in both


def test_the_least_version_only_goes_up(tmp_path: Path) -> None:
    assert read(tmp_path, host="minimum_version: 1.3").host.tls.minimum_version == "1.3"
    for old in ("1.1", "1.0", "0"):
        assert "must be '1.2' or '1.3'" in refused(tmp_path, host=f"minimum_version: {old}")


def test_d28_an_open_door_demands_macs_or_certificates_of_terminals(tmp_path: Path) -> None:
    open_door = '"tls://0.0.0.0:7443"'
    assert "terminals[0].mac: must be required" in refused(tmp_path, listen=open_door, door=FILES)
    mutual = f"{FILES}, client_ca_file: ca.pem"
    assert read(tmp_path, listen=open_door, door=mutual).door.listen == (TlsAddress("0.0.0.0", 7443),)
    beside = '["tls://0.0.0.0:7443", "0.0.0.0:7000"]'
    assert "terminals[0].mac: must be required" in refused(tmp_path, listen=beside, door=mutual)
    read(tmp_path, listen=beside, door=mutual, mac="required")
    read(tmp_path, listen='["tls://0.0.0.0:7443", "127.0.0.1:7000"]', door=mutual)
    read(tmp_path, listen='"tls://127.0.0.1:7443"', door=FILES)


def test_a_door_with_tls_has_a_certificate_and_no_other_speaks_of_it(tmp_path: Path) -> None:
    listen = '"tls://127.0.0.1:7443"'
    assert "door.tls: certificate_file and key_file missing" in refused(tmp_path, listen=listen)
    assert "door.tls: key_file missing" in refused(tmp_path, listen=listen, door="certificate_file: x")
    assert "has no address with tls://" in refused(tmp_path, door=FILES)
    assert "none is asked for" in refused(tmp_path, listen=listen, door=f"{FILES}, client_name: any")
    assert "twice" in refused(tmp_path, listen='["tls://127.0.0.1:7443", "127.0.0.1:7443"]', door=FILES)
    assert "did you mean 'tls'" in refused(tmp_path, listen='"tsl://127.0.0.1:7443"')


def test_the_doors_files_are_looked_at_before_the_start(tmp_path: Path) -> None:
    pki = Pki.shared()
    files = f"certificate_file: {pki.file('host.pem')}, key_file: {pki.file('client.key')}"
    read(tmp_path, listen='"tls://127.0.0.1:7443"', door=files)
    problems = [str(one) for one in check_environment(*load_document(tmp_path / "posd.yaml"))]
    assert any("door.tls: " in one and "cannot be used together" in one for one in problems)
