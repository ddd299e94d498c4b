"""The ECB MAC against the public vectors A1, A2 and every MACed message of Part B (samples.txt)."""

import random

import pytest

from posd.errors import KeyTrouble
from posd.security.des import ENCRYPTORS_MAX, block_encryptor, ecb_encrypt
from posd.security.mac import ecb_mac, ecb_mac_matches, xor_of_blocks

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
    assert ecb_mac_matches(B_MAK, message[:-MAC_BYTES], message[-MAC_BYTES:])


@pytest.mark.parametrize("name", B_MESSAGES)
def test_every_changed_byte_is_refused(name: str) -> None:
    message = bytes.fromhex(B_MESSAGES[name][0])[HEADERS_BYTES:]
    data, mac = message[:-MAC_BYTES], message[-MAC_BYTES:]
    for offset in range(len(data)):
        changed = data[:offset] + bytes([data[offset] ^ 0x01]) + data[offset + 1 :]
        assert not ecb_mac_matches(B_MAK, changed, mac)
    for offset in range(len(mac)):
        changed = mac[:offset] + bytes([mac[offset] ^ 0x01]) + mac[offset + 1 :]
        assert not ecb_mac_matches(B_MAK, data, changed)


def test_neighbours_are_refused() -> None:
    message = bytes.fromhex(B_MESSAGES["3 sale"][0])[HEADERS_BYTES:]
    data, mac = message[:-MAC_BYTES], message[-MAC_BYTES:]
    assert not ecb_mac_matches(B_MAK[::-1], data, mac)
    assert not ecb_mac_matches(B_MAK, data[::-1], mac)
    assert not ecb_mac_matches(B_MAK, data, mac[::-1])
    assert not ecb_mac_matches(B_MAK, data, mac[:4])
    assert not ecb_mac_matches(B_MAK, data, b"")
    assert not ecb_mac_matches(B_MAK, data, mac.lower())


def test_a_doubled_key_is_the_single_key() -> None:
    assert ecb_mac(A2_MAK * 2, A2_MESSAGE[11:-MAC_BYTES]) == b"B3A092AE"
    assert ecb_mac(A2_MAK + B_MAK, A2_MESSAGE[11:-MAC_BYTES]) != b"B3A092AE"


def test_zero_padding_adds_no_block_to_aligned_data() -> None:
    assert xor_of_blocks(b"") == bytes(8)
    assert xor_of_blocks(b"\x01") == b"\x01" + bytes(7)
    assert xor_of_blocks(b"ABCDEFGH") == b"ABCDEFGH"


@pytest.mark.parametrize("length", [0, 7, 9, 24])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(KeyTrouble, match=f"MAK: {length} bytes"):
        ecb_mac(bytes(length), b"")


def mac_without_kept_ciphers(key: bytes, data: bytes) -> bytes:
    """Reference 1.11, word for word, each block under a cipher made for it."""
    folded = xor_of_blocks(data).hex().upper().encode("ascii")
    mixed = bytes(one ^ other for one, other in zip(ecb_encrypt(key, folded[:8]), folded[8:], strict=True))
    return ecb_encrypt(key, mixed).hex().upper().encode("ascii")[:8]


def test_kept_ciphers_give_what_fresh_ones_give_in_any_order() -> None:
    dice = random.Random(7)
    keys = [dice.randbytes(dice.choice((8, 16))) for _ in range(20)]
    for _ in range(2000):
        key, data = dice.choice(keys), dice.randbytes(dice.randrange(300))
        assert ecb_mac(key, data) == mac_without_kept_ciphers(key, data)


def test_more_keys_than_are_kept() -> None:
    keys = [number.to_bytes(8, "big") * 2 for number in range(0, 4 * ENCRYPTORS_MAX, 2)]
    for key in [*keys, *keys[:50]]:
        assert block_encryptor(key)(bytes(8)) == ecb_encrypt(key, bytes(8))
    assert block_encryptor.cache_info().currsize == ENCRYPTORS_MAX


def test_a_kept_cipher_is_never_left_in_the_middle_of_a_block() -> None:
    encrypt = block_encryptor(B_MAK)
    before = encrypt(bytes(8))
    with pytest.raises(ValueError, match="9 bytes are no whole blocks"):
        encrypt(bytes(9))
    assert encrypt(bytes(8)) == before


def test_nothing_that_is_kept_shows_its_key() -> None:
    encrypt = block_encryptor(B_MAK)
    said = f"{block_encryptor!r} {encrypt!r} {encrypt.__closure__!r}".upper()
    assert B_MAK.hex().upper() not in said
    assert repr(B_MAK).upper() not in said
