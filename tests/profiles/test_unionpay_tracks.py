"""Which tracks leave encrypted, under which key, and what is read of them (reference 1.12; D6, D12, D26)."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace as changed

from posd.core import effects as fx
from posd.core import events as e
from posd.core.state import Session, Transaction, TxnStatus
from posd.errors import CannotEncode, KeyTrouble
from posd.iso8583.message import Message
from posd.iso8583.unionpay import UNIONPAY
from posd.profiles.contract import Arrived, Material, ReadRequest, Terminal
from posd.profiles.unionpay.profile import Knobs, UnionPay
from posd.security.cipherkey import ClearKey
from posd.security.tracks import decrypt_track, encrypt_track
from simulators.crypto import key_block, new_keys

FromLine = Callable[[str], Arrived]
TMK = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
TDK = ClearKey(bytes.fromhex("A1B2C3D4E5F60718293A4B5C6D7E8F90"))
PAN = "6225880123456789"
TRACK_2 = f"{PAN}=30122010000012345678"
TRACK_3 = f"99{PAN}=156156500050000000142130000000000000000000000000000"
SHORT = "6324392260009942820=131210112008"
"""Field 35 of A1: its encryption reaches the card number."""
ENCRYPTING = UnionPay(Knobs(track_encryption=True))
PASSING = UnionPay(Knobs())


def message_of(arrived: FromLine, changes: dict[int, str | None]) -> Message:
    return arrived("B3").message.with_({64: None} | changes)


def leaves(profile: UnionPay, message: Message, sale: Transaction, terminal: Terminal, session: Session) -> Message:
    """What the host gets of a terminal's sale."""
    sent = fx.SendTransaction(changed(sale, status=TxnStatus.SENT, facts=None), None)
    out = profile.encode(sent, terminal, session, Material({sale.request_id: message}, {}))
    assert TRACK_2 not in str(out.masked)
    return profile.arrive(out.frame).message


def read(
    profile: UnionPay, arrived: FromLine, changes: dict[int, str | None], terminal: Terminal, session: Session
) -> ReadRequest:
    message = message_of(arrived, changes)
    came = Arrived(arrived("B3").envelope, UNIONPAY.encode(message), message)
    return profile.read_request(came, terminal, session, bytes(32), "asker", 7.0)


def asked(got: ReadRequest) -> e.TransactionRequested:
    assert isinstance(got.event, e.TransactionRequested)
    return got.event


@pytest.mark.parametrize(("control", "sent"), [("2600000000000000", "2610000000000000"), (None, "0610000000000000")])
def test_clear_tracks_leave_encrypted(
    arrived: FromLine, sale: Transaction, terminal: Terminal, session: Session, control: str | None, sent: str
) -> None:
    changes = {36: TRACK_3, 53: control, 52: arrived("B3").message.get(52) if control else None}
    got = leaves(ENCRYPTING, message_of(arrived, changes), sale, terminal, session)
    assert got.get(35) == encrypt_track(TDK, TRACK_2)
    assert decrypt_track(TDK, got.get(36) or "") == TRACK_3
    assert got.get(53) == sent
    assert got.get(52) == changes[52]


def test_what_came_encrypted_is_not_encrypted_twice(
    arrived: FromLine, sale: Transaction, terminal: Terminal, session: Session
) -> None:
    changes: dict[int, str | None] = {35: encrypt_track(TDK, TRACK_2), 53: "2610000000000000"}
    for profile in (ENCRYPTING, PASSING):
        got = leaves(profile, message_of(arrived, changes), sale, terminal, session)
        assert (got.get(35), got.get(53)) == (changes[35], changes[53])


def test_by_default_clear_tracks_stay_clear(
    arrived: FromLine, sale: Transaction, terminal: Terminal, session: Session
) -> None:
    got = leaves(PASSING, message_of(arrived, {}), sale, terminal, session)
    assert (got.get(35), got.get(53)) == (TRACK_2, "2600000000000000")


def test_a_message_without_tracks_says_nothing_of_encryption(
    arrived: FromLine, sale: Transaction, terminal: Terminal, session: Session
) -> None:
    got = leaves(ENCRYPTING, message_of(arrived, {2: PAN, 35: None, 53: None, 52: None}), sale, terminal, session)
    assert (got.get(35), got.get(53)) == (None, None)


def test_the_key_is_that_of_the_moment_at_which_it_leaves(
    arrived: FromLine, sale: Transaction, terminal: Terminal, session: Session
) -> None:
    """D26: a sale that waited for a sign-in leaves under the keys that it brought."""
    keys = new_keys(1, terminal.tid, 2, "004")
    later = changed(session, wrapped_keys=key_block(TMK, keys, "004").hex().upper(), generation=2)
    got = leaves(ENCRYPTING, message_of(arrived, {}), sale, terminal, later)
    assert keys.tdk is not None
    assert decrypt_track(ClearKey(keys.tdk), got.get(35) or "") == TRACK_2


def test_without_keys_nothing_leaves_clear(
    arrived: FromLine, sale: Transaction, terminal: Terminal, session: Session
) -> None:
    for held in (None, "00" * 60):
        with pytest.raises(CannotEncode, match=r"0200: ") as caught:
            leaves(ENCRYPTING, message_of(arrived, {}), sale, terminal, changed(session, wrapped_keys=held))
        assert PAN not in str(caught.value)


@pytest.mark.parametrize("field", [35, 36])
def test_a_track_too_short_to_be_encrypted_is_refused_at_the_door(
    arrived: FromLine, terminal: Terminal, session: Session, field: int
) -> None:
    changes: dict[int, str | None] = {2: PAN, field: "6225880123456="}
    event = read(ENCRYPTING, arrived, changes, terminal, session).event
    assert isinstance(event, e.RequestUnusable)
    assert event.because == f"field {field} is too short to be encrypted"
    asked(read(PASSING, arrived, changes, terminal, session))


def test_d12_encrypted_tracks_leave_once_whoever_encrypts_them(
    arrived: FromLine, terminal: Terminal, session: Session
) -> None:
    """D12; and D26: only those of the terminal hang on its keys."""
    swiped: dict[int, str | None] = {52: None, 26: None, 53: None, 22: "022"}
    hidden = swiped | {35: encrypt_track(TDK, TRACK_2), 53: "0610000000000000"}
    typed = swiped | {2: PAN, 35: None}
    for profile, changes, once, theirs in (
        (PASSING, swiped, False, False),
        (PASSING, hidden, True, True),
        (ENCRYPTING, swiped, True, False),
        (ENCRYPTING, hidden, True, True),
        (ENCRYPTING, swiped | {35: None, 36: TRACK_3, 2: PAN}, True, False),
    ):
        event = asked(read(profile, arrived, changes, terminal, session))
        assert (event.leaves_once, event.tracks_encrypted, event.has_pin) == (once, theirs, False)
    event = asked(read(ENCRYPTING, arrived, typed, terminal, session))
    assert not event.leaves_once


def test_a_number_that_the_encryption_has_not_reached_is_read_as_ever(
    arrived: FromLine, terminal: Terminal, session: Session
) -> None:
    hidden: dict[int, str | None] = {35: encrypt_track(TDK, TRACK_2), 53: "2610000000000000"}
    clear, encrypted = (asked(read(PASSING, arrived, changes, terminal, session)) for changes in ({}, hidden))
    assert clear.card == encrypted.card is not None
    assert clear.fingerprint == encrypted.fingerprint


def test_a_number_that_the_encryption_has_reached_is_opened_with_the_track_key(
    arrived: FromLine, terminal: Terminal, session: Session
) -> None:
    """An upload will have to name it; nothing else is kept clear."""
    track = encrypt_track(TDK, SHORT)
    got = read(PASSING, arrived, {35: track, 53: "2610000000000000"}, terminal, session)
    assert got.card is not None
    assert got.card.number == SHORT.partition("=")[0]
    assert got.card.track2 == track
    for other in (changed(session, wrapped_keys=None), changed(session, wrapped_keys="00" * 60)):
        closed = read(PASSING, arrived, {35: track, 53: "2610000000000000"}, terminal, other)
        assert closed.card is not None
        assert closed.card.number is None


def test_d6_the_same_bytes_have_the_same_fingerprint_under_any_key(
    arrived: FromLine, terminal: Terminal, session: Session
) -> None:
    """D6: a repeat after our keys changed is answered from state, not taken for another card's."""
    changes: dict[int, str | None] = {35: encrypt_track(TDK, SHORT), 53: "2610000000000000"}
    later = key_block(TMK, new_keys(1, terminal.tid, 2, "004"), "004").hex().upper()
    held = (session, changed(session, wrapped_keys=later), changed(session, wrapped_keys=None))
    prints = {asked(read(PASSING, arrived, changes, terminal, one)).fingerprint for one in held}
    assert len(prints) == 1


def test_ciphertext_that_looks_like_a_separator_ends_no_number(
    arrived: FromLine, terminal: Terminal, session: Session
) -> None:
    """Fourteen clear digits, and a D among the encrypted ones: no number of sixteen digits."""
    track = f"{SHORT[:14]}12=45678901234567=8"
    got = read(PASSING, arrived, {35: track, 53: "2610000000000000"}, terminal, changed(session, wrapped_keys=None))
    assert got.card is not None
    assert got.card.number is None
    clear = read(PASSING, arrived, {35: track, 53: "2600000000000000"}, terminal, session)
    assert clear.card is not None
    assert clear.card.number == f"{SHORT[:14]}12"


def test_a_clear_track_that_is_called_encrypted_is_refused(
    arrived: FromLine, terminal: Terminal, session: Session
) -> None:
    """Else it would leave clear where the acquirer wants it encrypted."""
    for profile in (ENCRYPTING, PASSING):
        for changes in ({}, {36: TRACK_3, 35: encrypt_track(TDK, TRACK_2)}):
            event = read(profile, arrived, {53: "2610000000000000", **changes}, terminal, session).event
            assert isinstance(event, e.RequestUnusable)
            field = 36 if changes else 35
            assert event.because == f"field 53 says that field {field} is encrypted, and it is not"
    both = {53: "2610000000000000", 35: encrypt_track(TDK, TRACK_2), 36: encrypt_track(TDK, TRACK_3)}
    asked(read(PASSING, arrived, both, terminal, session))
    asked(read(PASSING, arrived, {53: "2610000000000000"}, terminal, changed(session, wrapped_keys=None)))


@pytest.mark.parametrize(
    "knobs",
    [Knobs(mac_algorithm="x9.19"), Knobs(mac_algorithm="x9.9", mak="double"), Knobs(mac_algorithm="sm4-ecb")],
)
def test_a_mac_and_keys_that_do_not_go_together_are_refused_at_the_start(knobs: Knobs) -> None:
    """Not at the first message: that would be money already."""
    with pytest.raises(KeyTrouble, match="do not go together"):
        UnionPay(knobs)


def test_with_sm4_keys_a_void_says_the_configured_algorithm(
    arrived: FromLine, sale: Transaction, void: Transaction, terminal: Terminal
) -> None:
    """Field 53 digit 2, which no public source has for SM4."""
    block = key_block(TMK, new_keys(1, terminal.tid, 1, "006"), "006").hex().upper()
    session = Session(signed_in=True, wrapped_keys=block, generation=1)
    asked_for = arrived("B7").message.with_({53: None, 64: None})
    for digit in "63":
        profile = UnionPay(Knobs(sign_in="006", mac_algorithm="sm4-ecb", sm4_security_digit=digit))
        material = Material({void.request_id: asked_for}, {})
        out = profile.encode(fx.SendTransaction(void, sale, sale), terminal, session, material)
        assert profile.arrive(out.frame).message.get(53) == f"0{digit}00000000000000"
