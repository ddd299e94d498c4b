"""TMKs in a real SoftHSM2 token: what never leaves it, that MACs come out as from memory, and what a PIN may cost."""

import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from posd.errors import ConfigError, KeyOutOfReach, KeyTrouble
from posd.security.cipherkey import CipherKey, ClearKey
from posd.security.keys import DES, ClearTmk, layout_of
from posd.security.keystore import NewTmk, NoSuchKey
from posd.security.mac import ALGORITHMS, mac_of
from posd.security.machine import MachineKey
from simulators.crypto import key_block, new_keys
from tests.security.tokens import CLIENT, PIN, SOFTHSM, Plug, Token, make_token, needs_p11_kit, needs_softhsm

pkcs11 = pytest.importorskip("pkcs11", reason="no python-pkcs11: pip install 'posd[pkcs11]'")
pytestmark = needs_softhsm

KEY = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
TID = "10000001"


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Token]:
    """One token for all tests of this file."""
    made = make_token(tmp_path_factory.mktemp("token"))
    os.environ.update(made.environment)
    yield made
    for name in made.environment:
        del os.environ[name]


def opened(
    token: Token, tmp_path: Path, machine_key: MachineKey, pin: str = PIN, module: Path = SOFTHSM, **more: Any
) -> Any:
    from posd.security.tokenlogin import open_token

    pin_file = tmp_path / "pin"
    pin_file.write_text(pin + "\n")
    pin_file.chmod(0o600)
    return open_token(module, more.get("label", token.label), pin_file, more.get("wait_s", 5.0), tmp_path, machine_key)


@pytest.fixture
def store(token: Token, tmp_path: Path, machine_key: MachineKey) -> Iterator[Any]:
    keys = opened(token, tmp_path, machine_key)
    yield keys
    for info in keys.list():
        keys.remove(info.tid, info.index)
    keys.close()


def new(index: int = 0, key: bytes = KEY, signs: bool = False) -> NewTmk:
    return NewTmk(TID, index, key, DES, ("Li Na", "Wang Wei"), 1_772_463_630_000, signs)


def test_what_was_kept_is_listed_opened_and_destroyed(store: Any) -> None:
    assert list(store.list()) == []
    kept = [store.add(new()), store.add(new(1, KEY[:8]))]
    assert [(one.index, one.cipher, one.check_value, one.home) for one in kept] == [
        (0, "3DES", "08D7B4FB", "pkcs11"),
        (1, "DES", ClearTmk(KEY[:8]).kcv, "pkcs11"),
    ]
    assert list(store.list()) == kept
    assert [(store.open(TID, index).kcv, store.open(TID, index).length) for index in (0, 1)] == [
        (kept[0].check_value, 16),
        (kept[1].check_value, 8),
    ]
    with pytest.raises(ConfigError, match="none is ever replaced"):
        store.add(new(0, KEY[::-1]))
    store.remove(TID, 1)
    with pytest.raises(NoSuchKey):
        store.open(TID, 1)
    with pytest.raises(NoSuchKey):
        store.remove(TID, 1)


def test_a_tmk_cannot_be_taken_out(store: Any) -> None:
    from pkcs11 import Attribute, ObjectClass

    store.add(new())
    (key,) = store.do(lambda session: list(session.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY})))
    said = {name: key[name] for name in (Attribute.SENSITIVE, Attribute.EXTRACTABLE, Attribute.PRIVATE, Attribute.WRAP)}
    assert said == {
        Attribute.SENSITIVE: True,
        Attribute.EXTRACTABLE: False,
        Attribute.PRIVATE: True,
        Attribute.WRAP: False,
    }
    with pytest.raises(pkcs11.exceptions.AttributeSensitive):
        key[Attribute.VALUE]


def test_working_keys_are_session_objects_that_cannot_be_taken_out(store: Any) -> None:
    from pkcs11 import Attribute

    store.add(new())
    block = key_block(KEY, new_keys(7, TID, 1, "004"), "004").hex()
    mak = store.open(TID, 0).unwrap(block, layout_of("004")).mak
    assert mak._key[Attribute.TOKEN] is False
    assert mak._key[Attribute.EXTRACTABLE] is False
    with pytest.raises(pkcs11.exceptions.AttributeSensitive):
        mak._key[Attribute.VALUE]


@pytest.mark.parametrize(("code", "mak"), [("001", "single"), ("003", "single"), ("003", "double"), ("004", "double")])
@pytest.mark.parametrize("length", [8, 16])
def test_every_mac_is_the_same_as_from_memory(store: Any, code: str, mak: str, length: int) -> None:
    """And check values and tracks are."""
    dice = random.Random(3)
    index = dice.randrange(10)
    store.add(new(index, KEY[:length]))
    block = key_block(KEY[:length], new_keys(7, TID, 1, code, double_mak=mak == "double"), code).hex()
    layout = layout_of(code, mak)
    inside, outside = store.open(TID, index).unwrap(block, layout), ClearTmk(KEY[:length]).unwrap(block, layout)
    assert (inside.mak_kcv, inside.pik_kcv) == (outside.mak_kcv, outside.pik_kcv)
    for name, row in ALGORITHMS.items():
        if row.sm4 or layout.mak_bytes not in row.key_bytes:
            continue
        for size in (0, 1, 8, 91):
            data = dice.randbytes(size)
            assert mac_of(name)(inside.mak, data) == mac_of(name)(outside.mak, data), name
    if inside.tdk is not None and outside.tdk is not None:
        same(inside.tdk, outside.tdk)


def same(one: CipherKey, other: CipherKey) -> None:
    blocks = bytes(range(64))
    assert one.encrypt(blocks) == other.encrypt(blocks)
    assert one.decrypt(blocks) == other.decrypt(blocks)
    assert one.cbc_last_block(blocks) == other.cbc_last_block(blocks)
    with pytest.raises(ValueError, match="no whole blocks"):
        one.encrypt(blocks[:9])


@pytest.mark.parametrize("key", [KEY, KEY[:8]])
def test_a_key_that_signs_itself(store: Any, key: bytes) -> None:
    """NAC: no working keys; X9.19 wants the left half of what nobody can take apart."""
    store.add(new(0, key, signs=True))
    inside, outside = store.open(TID, 0).as_mac_key(), ClearKey(key)
    same(inside, outside)
    assert [info.index for info in store.list()] == [0]
    if len(key) == 16:
        assert mac_of("x9.19")(inside, b"some data of a message") == mac_of("x9.19")(outside, b"some data of a message")


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here: apt-get install gcc")
def test_a_token_that_unwraps_never_shows_a_working_key(token: Token, tmp_path: Path, machine_key: MachineKey) -> None:
    """Hardware does, SoftHSM2 does not: unwrapping.c adds it, and forbids such a TMK to decrypt anything."""
    from posd.security.tokenobjects import the

    module = tmp_path / "unwrapping.so"
    own = shutil.copy(SOFTHSM, tmp_path / "softhsm.so")  # the other is at work in this process already
    words = ["cc", "-w", "-shared", "-fPIC", f'-DSOFTHSM="{own}"', "-o", str(module)]
    subprocess.run([*words, str(Path(__file__).with_name("unwrapping.c"))], check=True)
    keys = opened(token, tmp_path, machine_key, module=module)
    try:
        keys.add(new())
        block = key_block(KEY, new_keys(7, TID, 1, "004", double_mak=True), "004").hex()
        layout = layout_of("004", "double")
        inside, outside = keys.open(TID, 0).unwrap(block, layout), ClearTmk(KEY).unwrap(block, layout)
        assert inside.tdk is not None
        assert outside.tdk is not None
        same(inside.mak, outside.mak)
        same(inside.tdk, outside.tdk)
        assert mac_of("x9.19")(inside.mak, b"data") == mac_of("x9.19")(outside.mak, b"data")
        tmk = keys.do(lambda session: the(session, f"posd-tmk {TID} 0"))
        with pytest.raises(pkcs11.exceptions.PKCS11Error):
            tmk.decrypt(bytes(16), mechanism=pkcs11.Mechanism.DES3_ECB)
    finally:
        keys.remove(TID, 0)
        keys.close()


def test_a_damaged_block_is_refused_as_from_memory(store: Any) -> None:
    store.add(new())
    block = bytearray(key_block(KEY, new_keys(7, TID, 1, "004"), "004"))
    block[20] ^= 0x10
    with pytest.raises(KeyTrouble, match="MAK: wrong check value"):
        store.open(TID, 0).unwrap(block.hex(), layout_of("004"))


def test_old_working_keys_are_given_back(store: Any) -> None:
    """A token has room for few session objects."""
    from pkcs11 import Attribute, ObjectClass

    def objects() -> int:
        return int(store.do(lambda session: len(list(session.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY})))))

    store.add(new())
    tmk, before = store.open(TID, 0), objects()
    for generation in range(12):
        tmk.unwrap(key_block(KEY, new_keys(7, TID, generation, "004"), "004").hex(), layout_of("004"))
    assert objects() - before == 8  # MAK and TDK of the four that are kept


def test_a_wrong_pin_is_tried_once_over_all_starts(token: Token, tmp_path: Path, machine_key: MachineKey) -> None:
    from posd.security.tokenlogin import Login

    pin_file = tmp_path / "pin"
    reached: list[str] = []

    class Watched:
        """The library, with a list of the PINs that it was asked to try."""

        def reinitialize(self) -> None:
            pkcs11.lib(str(SOFTHSM)).reinitialize()

        def get_token(self, **which: str) -> Any:
            found = pkcs11.lib(str(SOFTHSM)).get_token(**which)

            class Token:
                serial, flags = found.serial, found.flags

                def open(self, **how: Any) -> Any:
                    reached.append(how["user_pin"])
                    return found.open(**how)

            return Token()

    def log_in(pin: str) -> Any:
        return Login(Watched(), token.label, pin, pin_file, tmp_path / "refused", bytes(32))()

    for _ in range(6):
        with pytest.raises(ConfigError, match="refused its PIN, which posd never tries again") as refused:
            log_in("000000")
    assert "000000" not in f"{refused.value} {(tmp_path / 'refused').read_text()}"
    assert (tmp_path / "refused").stat().st_mode & 0o777 == 0o600
    log_in(PIN).close()
    assert reached == ["000000", PIN]
    assert not (tmp_path / "refused").exists()


@pytest.mark.parametrize(
    ("flag", "why"), [("USER_PIN_LOCKED", "is locked"), ("USER_PIN_FINAL_TRY", "one more wrong PIN")]
)
def test_a_token_that_is_locked_or_nearly_is_left_alone(tmp_path: Path, flag: str, why: str) -> None:
    from pkcs11 import TokenFlag

    from posd.security.tokenlogin import Login

    class Library:
        def reinitialize(self) -> None:
            raise AssertionError("it is there")

        def get_token(self, **which: str) -> Any:
            class Token:
                serial, flags = b"1", getattr(TokenFlag, flag)

                def open(self, **how: Any) -> Any:
                    raise AssertionError("it was tried")

            return Token()

    with pytest.raises(ConfigError, match=why):
        Login(Library(), "any", PIN, tmp_path / "pin", tmp_path / "refused", bytes(32))()


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"label": "another"}, "there is no token 'another'; plug it in"),
        ({"module": Path("/nowhere/lib.so")}, "is no PKCS#11 library that works here"),
        ({"pin": ""}, "write the PIN as visible characters"),
    ],
)
def test_what_is_not_there_is_said(
    token: Token, tmp_path: Path, machine_key: MachineKey, more: dict[str, Any], why: str
) -> None:
    with pytest.raises(ConfigError, match=why) as refused:
        opened(token, tmp_path, machine_key, **more)
    assert "\n" not in str(refused.value)


def test_a_pin_file_that_others_can_read_is_refused(token: Token, tmp_path: Path, machine_key: MachineKey) -> None:
    from posd.security.tokenlogin import open_token

    (tmp_path / "pin").write_text(PIN)
    (tmp_path / "pin").chmod(0o644)
    with pytest.raises(ConfigError, match="open to other users; run: chmod 600"):
        open_token(SOFTHSM, token.label, tmp_path / "pin", 1.0, tmp_path, machine_key)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@needs_p11_kit
def test_a_token_that_is_pulled_out_hangs_and_comes_back(
    tmp_path: Path, machine_key: MachineKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks is told so, at once or within the limit, and never gets a MAC that is none."""
    token = make_token(tmp_path)
    plug = Plug(token)
    monkeypatch.setenv("P11_KIT_SERVER_ADDRESS", plug.address)
    plug.put_in()
    try:
        keys = opened(token, tmp_path, machine_key, module=CLIENT, wait_s=2.0)
        keys.add(new())
        tmk = keys.open(TID, 0)
        block = key_block(KEY, new_keys(7, TID, 1, "004"), "004").hex()
        expected = mac_of("x9.9")(ClearTmk(KEY).unwrap(block, layout_of("004")).mak, b"data")

        def signed() -> bytes:
            return mac_of("x9.9")(tmk.unwrap(block, layout_of("004")).mak, b"data")

        assert signed() == expected
        plug.hang()
        with pytest.raises(KeyOutOfReach, match=r"did not answer within 2 s"):
            signed()
        with pytest.raises(KeyOutOfReach):
            tmk.require_reach()
        plug.go_on()
        until(keys.look)
        assert signed() == expected
        plug.pull_out()
        with pytest.raises(KeyOutOfReach, match="token 'posd-"):
            signed()
        assert not keys.look()
        assert keys.because
        plug.put_in()
        until(keys.look)
        assert (keys.because, signed()) == ("", expected)
        keys.close()
    finally:
        plug.pull_out()
