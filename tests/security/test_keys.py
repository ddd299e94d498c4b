"""The TMK file and the key blocks of sign-in answers: samples.txt Part B and vector A1."""

import os
from pathlib import Path

import pytest

from posd.errors import ConfigError, KeyTrouble
from posd.security.des import check_value, ecb_decrypt, ecb_encrypt
from posd.security.keys import LAYOUTS, UNWRAPPED_KEPT_MAX, Tmk, load_tmk, unwrap

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
    keys = unwrap(Tmk(TMK), BLOCKS[code], code)
    assert keys.mak == MAK
    assert keys.mak_kcv == "970022E0"
    assert keys.pik_kcv == ("9BE3BD43" if code != "001" else check_value(PIK[:8]).hex().upper())
    assert keys.has_tdk == (code == "004")
    assert LAYOUTS[code].block_bytes == len(BLOCKS[code])


def test_the_second_half_of_the_mak_slot_is_filler() -> None:
    """Reference 1.6: a duplicate or filler, so its bytes decide nothing."""
    filler = BLOCK_003[:28] + bytes(8) + BLOCK_003[36:]
    assert unwrap(Tmk(TMK), filler, "003").mak == MAK


def test_d27_the_pin_key_is_never_unwrapped() -> None:
    """D27: a damaged PIK passes; its check value is the host's word and the PIN pad's business."""
    damaged = bytes([BLOCK_004[0] ^ 1]) + BLOCK_004[1:]
    assert unwrap(Tmk(TMK), damaged, "004").pik_kcv == "9BE3BD43"


def test_a_single_length_tmk() -> None:
    tmk = TMK[:8]
    block = PIK_WRAPPED[:8] + PIK_CHECK + ecb_encrypt(tmk, MAK) + MAK_CHECK
    assert unwrap(Tmk(tmk), block, "001").mak == MAK


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
        unwrap(Tmk(TMK), damaged, code)
    text = str(caught.value).lower()
    assert "\n" not in text
    assert not _shows_a_secret(text)
    assert "970022e0" not in text
    assert "76cdb553" not in text


@pytest.mark.parametrize("tmk", [TMK[::-1], TMK[8:] + TMK[:8], TMK[:8], bytes(16)])
def test_another_tmk_is_refused(tmk: bytes) -> None:
    with pytest.raises(KeyTrouble, match=r"^MAK: wrong check value"):
        unwrap(Tmk(tmk), BLOCK_004, "004")


def test_slots_in_another_order_are_refused() -> None:
    with pytest.raises(KeyTrouble, match=r"^MAK"):
        unwrap(Tmk(TMK), BLOCK_004[20:40] + BLOCK_004[:20] + BLOCK_004[40:], "004")
    with pytest.raises(KeyTrouble, match=r"^MAK"):
        unwrap(Tmk(TMK), BLOCK_004[::-1], "004")


@pytest.mark.parametrize("length", [0, 24, 39, 41, 59, 61, 512])
def test_a_block_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(KeyTrouble, match=f"key block: {length} bytes, sign-in code 004 brings 60"):
        unwrap(Tmk(TMK), bytes(length), "004")


def test_an_unknown_sign_in_code_is_refused() -> None:
    with pytest.raises(KeyTrouble, match="'006'"):
        unwrap(Tmk(TMK), BLOCK_004, "006")


def test_unwraps_are_kept_bounded_and_never_shown() -> None:
    tmk = Tmk(TMK)
    assert unwrap(tmk, BLOCK_004, "004") is unwrap(tmk, BLOCK_004, "004")
    for filler in range(3 * UNWRAPPED_KEPT_MAX):
        unwrap(tmk, BLOCK_003[:28] + bytes([filler]) * 8 + BLOCK_003[36:], "003")
    assert len(tmk.unwrapped) == UNWRAPPED_KEPT_MAX
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
    assert load_tmk(_write(tmp_path / "tmk", text), "10000001").key == TMK
    assert load_tmk(_write(tmp_path / "short", TMK[:8].hex()), "10000001").key == TMK[:8]


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
    assert load_tmk(path, "10000001").key == TMK
    path.chmod(0o444)
    with pytest.raises(ConfigError, match="open to other users"):
        load_tmk(path, "10000001")
