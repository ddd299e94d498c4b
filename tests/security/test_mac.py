"""Each MAC against the vectors of samples.txt: A1, A2, A3, every MACed message of Part B, and B-SM4."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from posd.errors import KeyTrouble
from posd.security.cipherkey import ClearKey
from posd.security.des import block_encryptor, ecb_decrypt, ecb_encrypt
from posd.security.mac import ALGORITHMS, DEFAULT, Output, xor_of_blocks, xor_of_long_blocks
from posd.security.mac import mac_of as mac_under
from posd.security.mac import matches as matches_under

ClearMac = Callable[[bytes, bytes], bytes]


def mac_of(name: str, output: Output = "usual") -> ClearMac:
    """The MAC under a key in memory, given as its bytes."""
    compute, row = mac_under(name, output), ALGORITHMS[name]
    return lambda key, data: compute(row.clear_key(key), data)


def matches(mac: ClearMac, key: bytes, data: bytes, received: bytes) -> bool:
    return matches_under(lambda _, data: mac(key, data), ClearKey(b""), data, received)


ecb_mac = mac_of(DEFAULT)

A1_MAK = bytes.fromhex("C24A8FB57AA20123")
A1_DATA = bytes.fromhex(
    "0200302004C020C0981100000000000000005100183402100006324392260009942820D1312101120084393136363838303134303030"
    "303030303030303030303031313536ACF46E73838A82F92600000000000000000822000001"
)
A2_MAK = bytes.fromhex("0723C80DB5F4CD3D")
A2_MESSAGE = bytes.fromhex(
    "600003000060321032007202003020048000C080150000000000000012340000020300993030303030303031393532373138313832"
    "32313738373531353600192600000100060000000000435F01123238343431323334353637383930313233345F0306313630303336"
    "5F04063230303832365C0230314233413039324145"
)
B_MAK = bytes.fromhex("2345678998765432")
B_MESSAGES = {
    "3 sale": (
        (
            "007460000300006031003101000200302004C020C098110000000000000123450001240210001237622588012345"
            "6789D3012201000001234567803130303030303031383938313030303132333435363738313536E97D930127EB31"
            "4626000000000000000014220000080005003635454343313830"
        ),
        "2D1B6FE2591C1DBC",
        "65ECC180",
    ),
    "4 sale answer": (
        (
            "009460000000036031003101000210703E00810ED080131662258801234567890000000000000123450001240931"
            "05112230121122000848020000313132323030303030313234363534333231303031303030303030313839383130"
            "30303132333435363738223033303830303030202020343830323030303020202031353600142200000800050000"
            "034355504335344535413844"
        ),
        "9549BB25192054AB",
        "C54E5A8D",
    ),
    "5 reversal": (
        (
            "0051600003000060310031010004003020048002C080110000000000000123450001240210003938313030303030"
            "30313839383130303031323334353637383135360014220000080005003334354343393034"
        ),
        "B233742E0C9820C4",
        "345CC904",
    ),
    "6 reversal answer": (
        (
            "006560000000036031003101000410303800810AC080110000000000000123450001240932051122000848020000"
            "31313232303030303031323530303130303030303031383938313030303132333435363738313536001422000008"
            "0005003138364139433431"
        ),
        "B90E772C39D538CC",
        "186A9C41",
    ),
    "7 void": (
        (
            "007A60000300006031003101000200702004800CC088191662258801234567892000000000000123450001260120"
            "00313132323030303030313234363534333231313030303030303138393831303030313233343536373831353606"
            "0000000000000000142300000800050000120000080001243045453235364541"
        ),
        "EC4BC7272F0733C7",
        "0EE256EA",
    ),
    "7b reversal of the void": (
        (
            "0068600003000060310031010004007020048006C080191662258801234567892000000000000123450001260120"
            "00363534333231393831303030303030313839383130303031323334353637383135360014230000080005000012"
            "0000080001263242383544353037"
        ),
        "E076F41A0F1A14E4",
        "2B85D507",
    ),
}
HEADERS_BYTES = 2 + 5 + 6
MAC_BYTES = 8


def test_a1_single_des_vector() -> None:
    assert len(A1_DATA) == 91
    assert xor_of_blocks(A1_DATA).hex().upper() == "4D08F434464FE7BF"
    assert ecb_mac(A1_MAK, A1_DATA) == b"8A9E91B8"


def test_a2_complete_message() -> None:
    assert ecb_mac(A2_MAK, A2_MESSAGE[11:-MAC_BYTES]) == A2_MESSAGE[-MAC_BYTES:] == b"B3A092AE"


@pytest.mark.parametrize("name", B_MESSAGES)
def test_part_b_message(name: str) -> None:
    wire, folded, mac = B_MESSAGES[name]
    message = bytes.fromhex(wire)[HEADERS_BYTES:]
    assert xor_of_blocks(message[:-MAC_BYTES]).hex().upper() == folded
    assert ecb_mac(B_MAK, message[:-MAC_BYTES]) == message[-MAC_BYTES:] == mac.encode("ascii")
    assert matches(ecb_mac, B_MAK, message[:-MAC_BYTES], message[-MAC_BYTES:])


@pytest.mark.parametrize("name", B_MESSAGES)
def test_every_changed_byte_is_refused(name: str) -> None:
    message = bytes.fromhex(B_MESSAGES[name][0])[HEADERS_BYTES:]
    data, mac = message[:-MAC_BYTES], message[-MAC_BYTES:]
    for offset in range(len(data)):
        changed = data[:offset] + bytes([data[offset] ^ 0x01]) + data[offset + 1 :]
        assert not matches(ecb_mac, B_MAK, changed, mac)
    for offset in range(len(mac)):
        changed = mac[:offset] + bytes([mac[offset] ^ 0x01]) + mac[offset + 1 :]
        assert not matches(ecb_mac, B_MAK, data, changed)


def test_neighbours_are_refused() -> None:
    message = bytes.fromhex(B_MESSAGES["3 sale"][0])[HEADERS_BYTES:]
    data, mac = message[:-MAC_BYTES], message[-MAC_BYTES:]
    assert not matches(ecb_mac, B_MAK[::-1], data, mac)
    assert not matches(ecb_mac, B_MAK, data[::-1], mac)
    assert not matches(ecb_mac, B_MAK, data, mac[::-1])
    assert not matches(ecb_mac, B_MAK, data, mac[:4])
    assert not matches(ecb_mac, B_MAK, data, b"")
    assert not matches(ecb_mac, B_MAK, data, mac.lower())


def test_a_doubled_key_is_the_single_key() -> None:
    assert ecb_mac(A2_MAK * 2, A2_MESSAGE[11:-MAC_BYTES]) == b"B3A092AE"
    assert ecb_mac(A2_MAK + B_MAK, A2_MESSAGE[11:-MAC_BYTES]) != b"B3A092AE"


def test_zero_padding_adds_no_block_to_aligned_data() -> None:
    assert xor_of_blocks(b"") == bytes(8)
    assert xor_of_blocks(b"\x01") == b"\x01" + bytes(7)
    assert xor_of_blocks(b"ABCDEFGH") == b"ABCDEFGH"


@pytest.mark.parametrize("length", [0, 7, 9, 24])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(KeyTrouble, match=f"MAK: {length} bytes; host.mac_algorithm wants 8 or 16"):
        ecb_mac(bytes(length), b"")


def mac_without_kept_ciphers(key: bytes, data: bytes) -> bytes:
    """Reference 1.11, word for word, each block under a cipher made for it."""
    folded = xor_of_blocks(data).hex().upper().encode("ascii")
    mixed = bytes(one ^ other for one, other in zip(ecb_encrypt(key, folded[:8]), folded[8:], strict=True))
    return ecb_encrypt(key, mixed).hex().upper().encode("ascii")[:8]


def test_kept_ciphers_give_what_fresh_ones_give_in_any_order() -> None:
    dice = random.Random(7)
    keys = [dice.randbytes(dice.choice((8, 16))) for _ in range(20)]
    kept, mac = [ClearKey(key) for key in keys], mac_under(DEFAULT)
    for _ in range(2000):
        at, data = dice.randrange(len(keys)), dice.randbytes(dice.randrange(300))
        assert mac(kept[at], data) == mac_without_kept_ciphers(keys[at], data)


def test_a_kept_cipher_is_never_left_in_the_middle_of_a_block() -> None:
    encrypt = block_encryptor(B_MAK)
    before = encrypt(bytes(8))
    with pytest.raises(ValueError, match="9 bytes are no whole blocks"):
        encrypt(bytes(9))
    assert encrypt(bytes(8)) == before


def test_nothing_that_is_kept_shows_its_key() -> None:
    key = ClearKey(B_MAK)
    key.encrypt(bytes(8))
    said = f"{key!r} {key} {key._encrypt!r}".upper()
    assert B_MAK.hex().upper() not in said
    assert repr(B_MAK).upper() not in said


A3_KEY = bytes.fromhex("1A1B1C1D1E1F2A2B2C2D2E2F3A3B3C3D")
A3_DATA = bytes.fromhex(
    "0800603804010881000116837299000022446695128200000209514005310100061999001200000000243139303030303239000702000430"
    "303030"
)
SM4_KEY = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
A2_DATA = A2_MESSAGE[11:-MAC_BYTES]
VECTORS = json.loads((Path(__file__).parents[2] / "posd" / "vectors" / "macs.json").read_text(encoding="utf-8"))["macs"]


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: str(row["name"]))
def test_each_vector_and_its_neighbours(row: dict[str, str]) -> None:
    """The reversed and the corrupted neighbour of key, data and MAC are refused."""
    function = mac_of(row["algorithm"])
    key, data, mac = (bytes.fromhex(row[part]) for part in ("key", "data", "mac"))
    assert function(key, data) == mac
    assert len(mac) == MAC_BYTES
    assert matches(function, key, data, mac)
    for wrong in (mac[::-1], mac[:4], mac + b"0", b"", *_corrupted(mac)):
        assert not matches(function, key, data, wrong)
    for wrong in (data[::-1], data + b"\x01", data[1:], *_corrupted(data)):
        assert not matches(function, key, wrong, mac)
    turned = key[::-1] if key != A2_MAK * 2 else A2_MAK[::-1] * 2
    parity = 0x10  # DES ignores the lowest bit of each byte
    for wrong in (turned, *(key[:at] + bytes([key[at] ^ parity]) + key[at + 1 :] for at in range(len(key)))):
        assert not matches(function, wrong, data, mac)


def _corrupted(data: bytes) -> list[bytes]:
    return [data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in range(len(data))]


def test_b_sm4_the_xor_of_long_blocks() -> None:
    assert xor_of_long_blocks(A1_DATA).hex().upper() == "962844F42B49EFBEDB20B0C06D060801"
    assert xor_of_long_blocks(b"") == bytes(16)
    assert xor_of_long_blocks(b"\x01") == b"\x01" + bytes(15)


def test_b_sm4_whole_results() -> None:
    key = ClearKey(SM4_KEY, of_sm4=True)
    assert ALGORITHMS["sm4-ecb"].result(key, A1_DATA).hex().upper() == "D0656CDC7A9D002263671B6D8DF5DACA"
    assert ALGORITHMS["sm4-cbc"].result(key, A1_DATA).hex().upper() == "3688158D693AF523B30B85356E391EC5"


def test_9606_is_one_encryption_of_the_xor_of_all_blocks() -> None:
    """Over the XOR of A1, which two public sources give."""
    assert mac_of("9606")(A1_MAK, A1_DATA) == ecb_encrypt(A1_MAK, bytes.fromhex("4D08F434464FE7BF"))
    assert mac_of("9606")(A3_KEY, A1_DATA) == ecb_encrypt(A3_KEY, bytes.fromhex("4D08F434464FE7BF"))


def by_the_book(name: str, key: bytes, data: bytes) -> bytes:
    """The CBC MACs block by block, as their definitions read (reference 1.11)."""
    state, blocks = bytes(8), data + bytes(-len(data) % 8)
    for at in range(0, len(blocks), 8):
        mixed = bytes(one ^ other for one, other in zip(state, blocks[at : at + 8], strict=True))
        state = ecb_encrypt(key[:8] if name == "x9.19" else key, mixed)
    return ecb_encrypt(key[:8], ecb_decrypt(key[8:], state)) if name == "x9.19" else state


@pytest.mark.parametrize(("name", "length"), [("x9.9", 8), ("x9.19", 16), ("3des-cbc", 16)])
def test_a_cbc_mac_is_what_its_definition_says_at_every_length(name: str, length: int) -> None:
    dice = random.Random(9)
    for size in range(1, 40):
        key, data = dice.randbytes(length), dice.randbytes(size)
        assert mac_of(name)(key, data) == by_the_book(name, key, data)


def test_x9_19_of_a_doubled_key_is_x9_9() -> None:
    assert mac_of("x9.19")(A1_MAK * 2, A1_DATA) == mac_of("x9.9")(A1_MAK, A1_DATA)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_each_row_takes_its_own_keys_only(name: str) -> None:
    row = ALGORITHMS[name]
    for length in (0, 7, 8, 9, 15, 16, 24):
        if length in row.key_bytes:
            assert len(mac_of(name)(bytes(range(length)), b"x")) == MAC_BYTES
            continue
        with pytest.raises(KeyTrouble, match=f"MAK: {length} bytes; host.mac_algorithm wants"):
            mac_of(name)(bytes(length), b"x")


@pytest.mark.parametrize("name", ALGORITHMS)
def test_there_is_no_mac_without_a_block(name: str) -> None:
    """Nothing at all has the MAC of one block of zeros, never an empty one that would match an empty field."""
    key = bytes(range(ALGORITHMS[name].key_bytes[0]))
    assert mac_of(name)(key, b"") == mac_of(name)(key, bytes(16)[: 16 if ALGORITHMS[name].sm4 else 8])


@pytest.mark.parametrize(("output", "expected"), [("hex", b"756FED7E"), ("raw", bytes.fromhex("756FED7EEB9F572C"))])
def test_the_output_can_be_chosen(output: Output, expected: bytes) -> None:
    assert mac_of("x9.9", output)(A1_MAK, A1_DATA) == expected


def test_the_raw_form_of_the_usual_one() -> None:
    assert mac_of(DEFAULT, "raw")(A1_MAK, A1_DATA).hex().upper() == "8A9E91B88D839AC5"
    assert mac_of(DEFAULT, "hex")(A1_MAK, A1_DATA) == b"8A9E91B8"


def test_a_name_that_the_table_has_not() -> None:
    with pytest.raises(KeyError):
        mac_of("md5")
