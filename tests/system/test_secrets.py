"""Every secret of a real posd, missing, open to others or somebody else's: it does not start, and says what to do.

A credential, which root hands over to a service, has no wrong owner; `posd doctor` tells of its file (test_box.py).
"""

import asyncio
import ctypes
import os
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from posd.cli.keys.doing import do
from posd.config import load
from tests.daemon.stage import MID, TMK, free_port, write_configuration
from tests.security.tokens import PIN, SOFTHSM, make_token, needs_softhsm
from tests.system.house import House
from tests.transport.pki import Pki

pytestmark = pytest.mark.system

SEALED = "20000001"
LOAD_IT = f"terminal {SEALED} has no TMK with index 0; run: posd keys load --tid {SEALED}"
NOBODY = 65534
PR_CAPBSET_DROP, READ_ANYTHING = 24, (1, 2)
"""prctl(2); CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, by which root is above every mode."""


def like_any_user() -> None:
    """What is executed now may read only what its user may."""
    for capability in READ_ANYTHING:
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def every_secret(house: House, pki: Pki) -> list[tuple[str, Path]]:
    """A configuration with one of each kind; what an error calls it."""
    token = house.folder / "till.token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    house.settings["till"] = {"listen": f"127.0.0.1:{free_port()}", "token_file": str(token)}
    door = {"certificate_file": str(pki.file("host.pem")), "key_file": str(pki.file("host.key"))}
    house.settings["door"] |= {"listen": f"tls://127.0.0.1:{house.door_port}", "tls": door}
    ours = {"certificate_file": str(pki.file("client.pem")), "key_file": str(pki.file("client.key"))}
    house.settings["host"] |= {
        "address": f"tls://localhost:{house.host_port}",
        "tls": {"ca_file": str(pki.ca), **ours},
    }
    house.settings["terminals"].append({"tid": SEALED, "mid": MID})
    house.config = write_configuration(house.folder, house.settings)
    do(load(house.config), "keys.load", {"tid": SEALED, "index": 0, "key": TMK, "by": "Li Na"}, quietly=True)
    return [
        ("machine key", house.keys / "machine.key"),
        (f"TMK of terminal {house.tids[0]}", house.keys / f"{house.tids[0]}.tmk"),
        ("TMK", house.folder / "state/tmk" / f"{SEALED}.0.tmk"),
        ("till token", token),
        ("key of the certificate", pki.file("host.key")),
        ("key of the certificate", pki.file("client.key")),
    ]


def test_a_secret_that_is_missing_open_or_another_users_is_named_with_its_remedy(
    built: Callable[..., House], tmp_path: Path
) -> None:
    house = built()
    files = every_secret(house, Pki(tmp_path / "pki").make())

    def refused_with(said: str) -> None:
        status, why = house.refused(before=like_any_user)
        assert (status, len(why.strip().splitlines())) == (2, 1), why
        assert said in why

    for name, file in files:
        named = f"{name}: {file}: "
        file.chmod(0o640)
        refused_with(f"{named}open to other users; run: chmod 600 {file}")
        file.chmod(0o600)
        if os.geteuid() == 0:
            os.chown(file, NOBODY, NOBODY)
            refused_with(f"{named}permission denied; run this as root; or, if root is to run posd: chown root {file}, ")
            os.chown(file, 0, 0)
        away = file.rename(file.with_suffix(".away"))
        missing = f"{named}no such file or directory; create it, mode 0600 and owned by posd's user"
        refused_with(LOAD_IT if file.parent.name == "tmk" else missing)
        away.rename(file)

    async def good() -> None:
        house.start(before=like_any_user)
        await house.ready()
        assert await house.terminated() == 0

    asyncio.run(asyncio.wait_for(good(), 60))


@needs_softhsm
def test_a_token_without_the_mechanism_or_with_another_pin_is_not_used(
    built: Callable[..., House], tmp_path: Path
) -> None:
    """SoftHSM2 can be told to have less; a PIN that was refused is never shown to it again."""
    pytest.importorskip("pkcs11", reason="no python-pkcs11: pip install 'posd[pkcs11]'")
    house, token = built(), make_token(tmp_path)
    pin = house.folder / "pin"
    pin.touch(mode=0o600)
    keys = {"home": "pkcs11", "module": str(SOFTHSM), "token": token.label, "pin_file": str(pin)}
    house.settings |= {"keys": keys, "terminals": [{"tid": house.tids[0], "mid": MID}]}
    house.config, house.world = write_configuration(house.folder, house.settings), token.environment

    def refused_with(*said: str) -> None:
        status, why = house.refused()
        assert (status, len(why.strip().splitlines())) == (2, 1), why
        assert [word for word in said if word not in why] == [], why

    less = Path(token.environment["SOFTHSM2_CONF"])
    everything = less.read_text()
    less.write_text(f"{everything}slots.mechanisms = CKM_AES_ECB,CKM_DES3_CBC\n")
    pin.write_text(PIN)
    refused_with("cannot do 3DES (CKM_DES3_ECB)")
    less.write_text(everything)
    pin.write_text("161803")
    refused_with(token.label, "PIN")
    refused_with(token.label, "PIN")
    pin.write_text(PIN)
    refused_with(f"posd keys load --tid {house.tids[0]}")
