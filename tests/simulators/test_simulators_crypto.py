"""The simulators' reading of the MAC and the key blocks against public vectors (samples.txt A1, A2, Part B)."""

import pytest

from simulators import crypto

TMK = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
PIK = bytes.fromhex("1A2B3C4D5E6F708192A3B4C5D6E7F801")
MAK = bytes.fromhex("2345678998765432")
TDK = bytes.fromhex("A1B2C3D4E5F60718293A4B5C6D7E8F90")
F62 = (
    "41B1F3D154C3079A8934CBC82B27D1149BE3BD4303EC0BE36B3DD53403EC0BE36B3DD534970022E0"
    "FD7AF640961CDB8B5CCFBE13B358FE6E76CDB553"
)


def test_ecb_mac_of_vector_a1() -> None:
    mak = crypto.decrypt(bytes.fromhex("70F2A84CCBC2AE8625CBB0F2C22AB923"), bytes.fromhex("96D605EA176B7E9E"))
    data = bytes.fromhex(
        "0200302004C020C0981100000000000000005100183402100006324392260009942820D13121011200"
        "84393136363838303134303030303030303030303030303031313536ACF46E73838A82F926"
        "00000000000000000822000001"
    )
    assert mak.hex().upper() == "C24A8FB57AA20123"
    assert crypto.ecb_mac(mak, data) == b"8A9E91B8"


def test_ecb_mac_of_vector_a2_a_complete_message() -> None:
    frame = bytes.fromhex(
        "600003000060321032007202003020048000C08015000000000000001234000002030099303030303030303139353237"
        "313831383232313738373531353600192600000100060000000000435F01123238343431323334353637383930313233"
        "345F03063136303033365F04063230303832365C0230314233413039324145"
    )
    assert crypto.ecb_mac(bytes.fromhex("0723C80DB5F4CD3D"), frame[11:-8]) == frame[-8:] == b"B3A092AE"


def test_key_block_of_part_b_is_reproduced_and_opened() -> None:
    keys = crypto.WorkingKeys(pik=PIK, mak=MAK, tdk=TDK)
    block = crypto.key_block(TMK, keys, "004")
    assert block.hex().upper() == F62
    assert crypto.open_key_block(TMK, block) == keys


@pytest.mark.parametrize(("code", "size"), [("001", 24), ("003", 40), ("004", 60)])
def test_new_keys_come_from_the_seed_and_change_with_each_sign_in(code: str, size: int) -> None:
    first, again, next_one = (crypto.new_keys(7, "10000001", generation, code) for generation in (1, 1, 2))
    assert first == again != next_one
    block = crypto.key_block(TMK, first, code)
    assert len(block) == size
    assert crypto.open_key_block(TMK, block) == first


def test_a_block_under_another_tmk_does_not_check() -> None:
    with pytest.raises(ValueError, match="check value of the PIK"):
        crypto.open_key_block(bytes(16), bytes.fromhex(F62))


def test_pin_block_of_part_b() -> None:
    block = crypto.pin_block(PIK, "123456", "6225880123456789")
    assert block.hex().upper() == "E97D930127EB3146"
    assert crypto.pin_of(PIK, block, "6225880123456789") == "123456"
    assert crypto.pin_of(MAK, block, "6225880123456789") is None


def test_keys_do_not_show_themselves() -> None:
    assert repr(crypto.WorkingKeys(PIK, MAK, TDK)) == "WorkingKeys(***)"
