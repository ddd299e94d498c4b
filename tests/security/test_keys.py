"""The TMK file and the key blocks of sign-in answers: samples.txt Part B and vector A1."""

import os
from pathlib import Path

import pytest

from posd.errors import ConfigError, KeyTrouble
from posd.security import sm4
from posd.security.cipherkey import CipherKey
from posd.security.des import ecb_decrypt, ecb_encrypt
from posd.security.keys import LAYOUTS, SM4, UNWRAPPED_KEPT_MAX, ClearTmk, Tmk, WorkingKeys, layout_of
from posd.security.keys import check_value as check_value_text
from posd.security.plainkeys import load_tmk


def check_value(key: bytes) -> bytes:
    return bytes.fromhex(check_value_text(key))


TMK = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
PIK = bytes.fromhex("1A2B3C4D5E6F708192A3B4C5D6E7F801")
PIK_WRAPPED = bytes.fromhex("41B1F3D154C3079A8934CBC82B27D114")
PIK_CHECK = bytes.fromhex("9BE3BD43")
MAK = bytes.fromhex("2345678998765432")
MAK_WRAPPED = bytes.fromhex("03EC0BE36B3DD534")
MAK_CHECK = bytes.fromhex("970022E0")
TDK = bytes.fromhex("A1B2C3D4E5F60718293A4B5C6D7E8F90")
TDK_WRAPPED = bytes.fromhex("FD7AF640961CDB8B5CCFBE13B358FE6E")
TDK_CHECK = bytes.fromhex("76CDB553")
BLOCK_004 = bytes.fromhex(
    "41B1F3D154C3079A8934CBC82B27D1149BE3BD4303EC0BE36B3DD53403EC0BE36B3DD534970022E0"
    "FD7AF640961CDB8B5CCFBE13B358FE6E76CDB553"
)
BLOCK_003 = BLOCK_004[:40]
BLOCK_001 = PIK_WRAPPED[:8] + check_value(PIK[:8]) + MAK_WRAPPED + MAK_CHECK
BLOCKS = {"001": BLOCK_001, "003": BLOCK_003, "004": BLOCK_004}
SECRETS = [key.hex() for key in (TMK, PIK, PIK[:8], MAK, TDK)]


def unwrap(tmk: Tmk, block: bytes, code: str, **settings: str) -> WorkingKeys:
    return tmk.unwrap(block.hex().upper(), layout_of(code, **settings))


def is_key(key: CipherKey | None, clear: bytes) -> bool:
    """A key tells nobody its bytes; it is known by what it does."""
    blocks = bytes(range(32))
    encrypted = {sm4.ecb_encrypt(clear, blocks) if len(clear) == 16 else b"", ecb_encrypt(clear, blocks)}
    return key is not None and key.length == len(clear) and key.encrypt(blocks) in encrypted


def _shows_a_secret(text: str) -> bool:
    return any(secret in text.lower() for secret in SECRETS)


def test_part_b_keys_and_check_values() -> None:
    for clear, wrapped, check in (
        (PIK, PIK_WRAPPED, PIK_CHECK),
        (MAK, MAK_WRAPPED, MAK_CHECK),
        (TDK, TDK_WRAPPED, TDK_CHECK),
    ):
        assert ecb_decrypt(TMK, wrapped) == clear
        assert check_value(clear) == check
    assert len(BLOCK_004) == 60


def test_a1_mak_under_its_tmk() -> None:
    tmk = bytes.fromhex("70F2A84CCBC2AE8625CBB0F2C22AB923")
    assert ecb_decrypt(tmk, bytes.fromhex("96D605EA176B7E9E")) == bytes.fromhex("C24A8FB57AA20123")


@pytest.mark.parametrize("code", BLOCKS)
def test_layouts(code: str) -> None:
    keys = unwrap(ClearTmk(TMK), BLOCKS[code], code)
    assert is_key(keys.mak, MAK)
    assert keys.mak_kcv == "970022E0"
    assert keys.pik_kcv == ("9BE3BD43" if code != "001" else check_value(PIK[:8]).hex().upper())
    assert is_key(keys.tdk, TDK) if code == "004" else keys.tdk is None
    assert LAYOUTS[code].block_bytes == len(BLOCKS[code])


def test_the_second_half_of_the_mak_slot_is_filler() -> None:
    """Reference 1.6: a duplicate or filler, so its bytes decide nothing."""
    filler = BLOCK_003[:28] + bytes(8) + BLOCK_003[36:]
    assert is_key(unwrap(ClearTmk(TMK), filler, "003").mak, MAK)


def test_d27_the_pin_key_is_never_unwrapped() -> None:
    """D27: a damaged PIK passes; its check value is the host's word and the PIN pad's business."""
    damaged = bytes([BLOCK_004[0] ^ 1]) + BLOCK_004[1:]
    assert unwrap(ClearTmk(TMK), damaged, "004").pik_kcv == "9BE3BD43"


def test_a_single_length_tmk() -> None:
    tmk = TMK[:8]
    block = PIK_WRAPPED[:8] + PIK_CHECK + ecb_encrypt(tmk, MAK) + MAK_CHECK
    assert is_key(unwrap(ClearTmk(tmk), block, "001").mak, MAK)


@pytest.mark.parametrize(
    ("code", "offset", "name"),
    [
        ("001", 12, "MAK"),  # the wrapped MAK
        ("001", 20, "MAK"),  # its check value
        ("003", 20, "MAK"),
        ("003", 39, "MAK"),
        ("004", 20, "MAK"),
        ("004", 40, "TDK"),
        ("004", 55, "TDK"),  # the second half of the TDK counts
        ("004", 59, "TDK"),
    ],
)
def test_a_wrong_check_value_names_the_key_and_never_its_value(code: str, offset: int, name: str) -> None:
    block = BLOCKS[code]
    damaged = block[:offset] + bytes([block[offset] ^ 0x10]) + block[offset + 1 :]
    with pytest.raises(KeyTrouble, match=rf"^{name}: wrong check value") as caught:
        unwrap(ClearTmk(TMK), damaged, code)
    text = str(caught.value).lower()
    assert "\n" not in text
    assert not _shows_a_secret(text)
    assert "970022e0" not in text
    assert "76cdb553" not in text


@pytest.mark.parametrize("tmk", [TMK[::-1], TMK[8:] + TMK[:8], TMK[:8], bytes(16)])
def test_another_tmk_is_refused(tmk: bytes) -> None:
    with pytest.raises(KeyTrouble, match=r"^MAK: wrong check value"):
        unwrap(ClearTmk(tmk), BLOCK_004, "004")


def test_slots_in_another_order_are_refused() -> None:
    with pytest.raises(KeyTrouble, match=r"^MAK"):
        unwrap(ClearTmk(TMK), BLOCK_004[20:40] + BLOCK_004[:20] + BLOCK_004[40:], "004")
    with pytest.raises(KeyTrouble, match=r"^MAK"):
        unwrap(ClearTmk(TMK), BLOCK_004[::-1], "004")


@pytest.mark.parametrize("length", [0, 24, 39, 41, 59, 61, 512])
def test_a_block_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(KeyTrouble, match=f"key block: {length} bytes, the configured sign-in brings 60"):
        unwrap(ClearTmk(TMK), bytes(length), "004")


def test_an_unknown_sign_in_code_is_refused() -> None:
    with pytest.raises(KeyTrouble, match="'005'; use 001, 003, 004, 006"):
        layout_of("005")


DOUBLE_MAK = MAK + bytes.fromhex("89ABCDEFFEDCBA98")
DOUBLE_004 = BLOCK_004[:20] + ecb_encrypt(TMK, DOUBLE_MAK) + check_value(DOUBLE_MAK) + BLOCK_004[40:]


@pytest.mark.parametrize(("code", "block"), [("003", DOUBLE_004[:40]), ("004", DOUBLE_004)])
def test_a_double_length_mak_is_the_whole_slot_and_so_is_its_check_value(code: str, block: bytes) -> None:
    keys = unwrap(ClearTmk(TMK), block, code, mak="double")
    assert is_key(keys.mak, DOUBLE_MAK)
    assert keys.mak_kcv == check_value(DOUBLE_MAK).hex().upper()


def test_a_single_key_twice_is_a_double_length_mak_too() -> None:
    assert is_key(unwrap(ClearTmk(TMK), BLOCK_004, "004", mak="double").mak, MAK * 2)


def test_a_mak_of_the_other_length_says_which_setting_is_wrong() -> None:
    with pytest.raises(KeyTrouble, match=r"fits a double-length MAK: write host\.mak: double"):
        unwrap(ClearTmk(TMK), DOUBLE_004, "004")
    single_with_filler = BLOCK_004[:28] + bytes(8) + BLOCK_004[36:]
    with pytest.raises(KeyTrouble, match=r"fits a single-length MAK: write host\.mak: single"):
        unwrap(ClearTmk(TMK), single_with_filler, "004", mak="double")
    with pytest.raises(KeyTrouble, match=r"^MAK: wrong check value; the terminal's TMK"):
        unwrap(
            ClearTmk(TMK),
            DOUBLE_004[:20] + DOUBLE_004[28:36] + DOUBLE_004[20:28] + DOUBLE_004[36:],
            "004",
            mak="double",
        )


def test_there_is_no_double_length_mak_in_a_block_of_single_keys() -> None:
    with pytest.raises(KeyTrouble, match="001 brings single-length keys"):
        layout_of("001", "double")


A4_KEK = b"B1F15C84DD6817B9"
A4_WRAPPED = bytes.fromhex("89A4CA515B89220AAFA32D695D95A890")
A4_KEY = bytes.fromhex("376D90E7945AA5CFDB4C07CCB35CEFD3")
A4_ZEROS = bytes.fromhex("08EEDEC70D7C06822FF47ADF854B7D77")
SM4_SLOT = A4_WRAPPED + A4_ZEROS[:4]
BLOCK_006 = SM4_SLOT * 3


def test_a5_the_standard_block_of_sm4() -> None:
    key = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
    out = bytes.fromhex("681EDF34D206965E86B3E94F536E4246")
    assert sm4.ecb_encrypt(key, key) == sm4.block_encryptor(key)(key) == out
    assert sm4.ecb_decrypt(key, out) == key
    assert sm4.ecb_encrypt(key[::-1], key) != out
    assert sm4.ecb_encrypt(key, key[::-1]) != out
    with pytest.raises(KeyTrouble, match="SM4 key: 8 bytes"):
        sm4.ecb_encrypt(key[:8], key)
    with pytest.raises(ValueError, match="8 bytes are no whole blocks"):
        sm4.block_encryptor(key)(key[:8])


def test_a4_a_key_under_an_sm4_tmk_and_its_check_value() -> None:
    assert sm4.ecb_decrypt(A4_KEK, A4_WRAPPED) == A4_KEY
    assert sm4.ecb_encrypt(A4_KEY, bytes(16)) == A4_ZEROS
    keys = unwrap(ClearTmk(A4_KEK), BLOCK_006, "006")
    assert is_key(keys.mak, A4_KEY)
    assert is_key(keys.tdk, A4_KEY)
    assert keys.mak_kcv == keys.pik_kcv == "08EEDEC7"


def test_a_block_of_006_may_have_no_track_key() -> None:
    keys = unwrap(ClearTmk(A4_KEK), BLOCK_006[:40], "006", sm4_key_block="without_tdk")
    assert is_key(keys.mak, A4_KEY)
    assert keys.tdk is None
    with pytest.raises(KeyTrouble, match="40 bytes, the configured sign-in brings 60"):
        unwrap(ClearTmk(A4_KEK), BLOCK_006[:40], "006")


@pytest.mark.parametrize(
    ("block", "name"),
    [
        (SM4_SLOT + A4_WRAPPED[::-1] + A4_ZEROS[:4] + SM4_SLOT, "MAK"),
        (SM4_SLOT + A4_WRAPPED + A4_ZEROS[4:8] + SM4_SLOT, "MAK"),
        (SM4_SLOT * 2 + A4_WRAPPED + b"\x08\xee\xde\xc6", "TDK"),
        (BLOCK_004, "MAK"),
    ],
)
def test_a_damaged_sm4_key_is_refused(block: bytes, name: str) -> None:
    with pytest.raises(KeyTrouble, match=f"^{name}: wrong check value"):
        unwrap(ClearTmk(A4_KEK), block, "006")


def test_another_tmk_or_a_short_one_does_not_open_sm4_keys() -> None:
    with pytest.raises(KeyTrouble, match=r"^MAK: wrong check value"):
        unwrap(ClearTmk(A4_KEK[::-1]), BLOCK_006, "006")
    with pytest.raises(KeyTrouble, match="TMK: 8 bytes; SM4 keys come under one of 16"):
        unwrap(ClearTmk(A4_KEK[:8]), BLOCK_006, "006")


def test_the_same_settings_give_the_same_layout() -> None:
    """It is the key under which unwrapped blocks are kept."""
    assert layout_of("004") is layout_of("004") is LAYOUTS["004"]
    assert layout_of("004", "double") is layout_of("004", "double") is not layout_of("004")
    assert layout_of("006", sm4_key_block="without_tdk") is layout_of("006", sm4_key_block="without_tdk")


def test_a_kept_block_is_not_taken_for_one_of_another_layout() -> None:
    tmk = ClearTmk(TMK)
    assert is_key(unwrap(tmk, BLOCK_004, "004").mak, MAK)
    assert is_key(unwrap(tmk, BLOCK_004, "004", mak="double").mak, MAK * 2)
    with pytest.raises(KeyTrouble):
        unwrap(tmk, BLOCK_004, "006")


def test_unwraps_are_kept_bounded_and_never_shown() -> None:
    tmk = ClearTmk(TMK)
    assert unwrap(tmk, BLOCK_004, "004") is unwrap(tmk, BLOCK_004, "004")
    for filler in range(3 * UNWRAPPED_KEPT_MAX):
        unwrap(tmk, BLOCK_003[:28] + bytes([filler]) * 8 + BLOCK_003[36:], "003")
    assert len(tmk._unwrapped) == UNWRAPPED_KEPT_MAX
    keys = unwrap(tmk, BLOCK_004, "004")
    for shown in (
        repr(tmk),
        str(tmk),
        f"{tmk}",
        f"{tmk!r:>40}",
        repr(keys),
        str(keys),
        f"{keys}",
        f"{[keys]}",
    ):
        assert not _shows_a_secret(shown)
        assert repr(MAK)[2:-1] not in shown
    assert tmk.kcv == check_value(TMK).hex().upper()


def _write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("text", [TMK.hex(), TMK.hex().upper() + "\n", f"  {TMK.hex()}\r\n"])
def test_load_tmk(tmp_path: Path, text: str) -> None:
    assert is_key(load_tmk(_write(tmp_path / "tmk", text), "10000001").as_mac_key(), TMK)
    assert is_key(load_tmk(_write(tmp_path / "short", TMK[:8].hex()), "10000001").as_mac_key(), TMK[:8])


@pytest.mark.parametrize(
    ("text", "mode", "what"),
    [
        ("", 0o600, "0 characters; write 16 or 32 hexadecimal digits"),
        (TMK.hex()[:-1], 0o600, "31 characters"),
        (TMK.hex()[:-1] + "g", 0o600, "not hexadecimal"),
        (TMK.hex()[:-2] + "é", 0o600, "not hexadecimal"),
        (TMK.hex()[:16] + " " + TMK.hex()[17:], 0o600, "not hexadecimal"),
        ("0" * 1000, 0o600, "1000 bytes, too long"),
        (TMK.hex(), 0o640, "open to other users; run: chmod 600"),
        (TMK.hex(), 0o604, "open to other users"),
        (TMK.hex(), 0o620, "open to other users"),
    ],
)
def test_a_bad_tmk_file_is_one_line_without_its_value(tmp_path: Path, text: str, mode: int, what: str) -> None:
    path = _write(tmp_path / "tmk", text, mode)
    with pytest.raises(ConfigError) as caught:
        load_tmk(path, "10000001")
    line = str(caught.value)
    assert line.startswith(f"TMK of terminal 10000001: {path}: ")
    assert what in line
    assert "\n" not in line
    assert TMK.hex()[:12] not in line


def test_a_missing_folder_or_special_tmk_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="16 characters; write 32 hexadecimal digits"):
        load_tmk(_write(tmp_path / "short", TMK[:8].hex()), "10000001", SM4)
    with pytest.raises(ConfigError, match="no such file or directory; create it"):
        load_tmk(tmp_path / "absent", "10000001")
    with pytest.raises(ConfigError, match="not a regular file"):
        load_tmk(tmp_path, "10000001")
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(ConfigError, match="not a regular file"):
        load_tmk(tmp_path / "fifo", "10000001")


def test_systemd_credentials_may_show_the_mask_of_an_acl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _write(tmp_path / "tmk", TMK.hex(), 0o440)
    with pytest.raises(ConfigError, match="open to other users"):
        load_tmk(path, "10000001")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert is_key(load_tmk(path, "10000001").as_mac_key(), TMK)
    path.chmod(0o444)
    with pytest.raises(ConfigError, match="open to other users"):
        load_tmk(path, "10000001")
