"""The simulators' own MACs, SM4 keys and tracks against samples.txt, and a sale under each of them."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from posd.iso8583.message import Message
from posd.security.mac import ALGORITHMS, mac_of
from simulators import crypto
from simulators.macs import Keying, decrypt_track, encrypt_track
from simulators.terminal.core import CardInHand
from tests.simulators.bench import DOMESTIC, Bench

MACS = json.loads((Path(__file__).parents[2] / "posd" / "vectors" / "macs.json").read_text(encoding="utf-8"))["macs"]
SM4_KEY = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
VARIANTS = {
    "unionpay-ecb": ("004", "single"),
    "x9.9": ("004", "single"),
    "x9.19": ("003", "double"),
    "3des-cbc": ("004", "double"),
    "9606": ("001", "single"),
    "sm4-ecb": ("006", "single"),
    "sm4-cbc": ("006", "single"),
}


@pytest.mark.parametrize("row", MACS, ids=lambda row: str(row["name"]))
def test_each_vector(row: dict[str, Any]) -> None:
    keying = Keying(mac_algorithm=row["algorithm"])
    key, data, mac = (bytes.fromhex(row[part]) for part in ("key", "data", "mac"))
    assert keying.mac(key, data) == mac
    assert keying.mac(key, data[::-1]) != mac
    assert keying.mac(key[::-1], data) != mac


def test_9606_is_one_encryption_of_the_xor_of_all_blocks() -> None:
    row = MACS[0]
    key, data = bytes.fromhex(row["key"]), bytes.fromhex(row["data"])
    assert Keying(mac_algorithm="9606").mac(key, data) == crypto.encrypt(key, bytes.fromhex("4D08F434464FE7BF"))


@pytest.mark.parametrize("output", ["usual", "hex", "raw"])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_two_readings_of_one_reference_agree(name: Any, output: Any) -> None:
    """D37: posd and the simulators say the same apart from each other."""
    dice = random.Random(3)
    ours, theirs = mac_of(name, output), Keying(mac_algorithm=name, mac_output=output)
    for size in (1, 7, 8, 9, 15, 16, 17, 91, 180):
        for length in ALGORITHMS[name].key_bytes:
            key, data = dice.randbytes(length), dice.randbytes(size)
            assert ours(ALGORITHMS[name].clear_key(key), data) == theirs.mac(key, data)


def test_a4_an_sm4_key_and_its_check_value() -> None:
    key = crypto.sm4_decrypt(b"B1F15C84DD6817B9", bytes.fromhex("89A4CA515B89220AAFA32D695D95A890"))
    assert key.hex().upper() == "376D90E7945AA5CFDB4C07CCB35CEFD3"
    assert crypto.sm4_check_value(key).hex().upper() == "08EEDEC7"


@pytest.mark.parametrize(
    ("code", "more", "size"),
    [("006", {}, 60), ("006", {"sm4_tdk": False}, 40), ("003", {"double_mak": True}, 40)],
)
def test_other_key_blocks_are_made_and_opened(code: str, more: dict[str, bool], size: int) -> None:
    keys = crypto.new_keys(7, "10000001", 1, code, **more)
    block = crypto.key_block(SM4_KEY, keys, code)
    assert len(block) == size
    assert len(keys.mak) == 16
    assert crypto.open_key_block(SM4_KEY, block, code, double_mak="double_mak" in more) == keys
    other = "003" if code == "006" else "006"
    with pytest.raises(ValueError, match="check value of the PIK"):
        crypto.open_key_block(SM4_KEY, block, other)


def test_a_pin_block_of_sixteen_bytes() -> None:
    block = crypto.pin_block(SM4_KEY, "123456", "6225880123456789", 16)
    assert len(block) == 16
    assert crypto.pin_of(SM4_KEY, block, "6225880123456789") == "123456"
    assert crypto.pin_of(SM4_KEY[::-1], block, "6225880123456789") is None
    assert crypto.pin_of(SM4_KEY, block, "6225880000000005") != "123456"


def bench_of(name: str, **more: Any) -> Bench:
    code, mak = VARIANTS[name]
    keying = {"mac_algorithm": name, "mak": mak, **more}
    bench = Bench.of(keys=keying)
    bench.terminal.sign_in_code, bench.terminal.keying = code, Keying.model_validate(keying)
    assert bench.take(bench.terminal.sign_in())["outcome"] == "approved"
    return bench


@pytest.mark.parametrize("name", VARIANTS)
def test_a_sale_and_its_reversal_under_each_mac(name: str) -> None:
    bench = bench_of(name)
    stan = bench.sale(1234)
    assert bench.spent() == 1234
    assert bench.take(bench.terminal.reverse(stan))["code"] == "00"
    assert bench.spent() == 0


@pytest.mark.parametrize("name", VARIANTS)
def test_another_mac_is_refused(name: str) -> None:
    bench = bench_of(name)
    other = "sm4-cbc" if name == "sm4-ecb" else "sm4-ecb" if name == "sm4-cbc" else "unionpay-ecb"
    if name == other:
        other = "9606"
    bench.terminal.keying = bench.terminal.keying.model_copy(update={"mac_algorithm": other})
    assert bench.take(bench.terminal.sale(DOMESTIC, 100))["code"] == "A0"


TDK = bytes.fromhex("A1B2C3D4E5F60718293A4B5C6D7E8F90")


@pytest.mark.parametrize("track", ["6225880123456789=30122010000012345678", "6324392260009942820=131210112008"])
def test_a_track_is_encrypted_in_its_place(track: str) -> None:
    encrypted = encrypt_track(TDK, track)
    start = len(track) - (17 if len(track) % 2 else 18)
    assert (encrypted[:start], encrypted[start + 16 :]) == (track[:start], track[start + 16 :])
    assert encrypted[start : start + 16] != track[start : start + 16]
    assert decrypt_track(TDK, encrypted) == track


def test_the_host_opens_encrypted_tracks() -> None:
    bench = bench_of("unionpay-ecb", tracks="encrypted")
    sent = bench.terminal.sale(CardInHand(DOMESTIC.pan, "3012", pin="123456", entry="021"), 500)
    assert sent.message.get(53) == "2610000000000000"
    assert sent.message.get(35) != f"{DOMESTIC.pan}=30122010000012345678"
    assert bench.take(sent)["code"] == "00"
    assert bench.spent() == 500


def test_tracks_that_the_host_does_not_take_are_answered_with_89() -> None:
    bench = bench_of("unionpay-ecb", tracks="encrypted")
    bench.terminal.keying = bench.terminal.keying.model_copy(update={"tracks": "clear"})
    assert bench.take(bench.terminal.sale(DOMESTIC, 500))["code"] == "89"
    bench = bench_of("unionpay-ecb", tracks="clear")
    bench.terminal.keying = bench.terminal.keying.model_copy(update={"tracks": "encrypted"})
    assert bench.take(bench.terminal.sale(DOMESTIC, 500))["code"] == "89"
    assert bench.spent() == 0


@pytest.mark.parametrize("control", ["0610000000000000", "0600000000000000"])
def test_a_track_under_another_key_or_not_said_to_be_encrypted_is_answered_with_89(control: str) -> None:
    bench = bench_of("unionpay-ecb")
    terminal = bench.terminal
    sent = terminal.sale(DOMESTIC, 500)
    track = encrypt_track(TDK, sent.message.get(35) or "")
    changed: Message = sent.message.with_({35: track, 53: control})
    assert bench.say(terminal.request("sale", changed)).get(39) == "89"
    assert bench.spent() == 0
