"""Part B of the samples as meanings: its terminal, its keys, its transactions (reference 1.6, 1.8; samples.txt)."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from posd.core.answers import AnswerFacts
from posd.core.rules import TxnKind
from posd.core.state import Session, Transaction, TxnStatus
from posd.framing.length_prefix import LengthPrefixed
from posd.profiles.contract import Arrived, Terminal
from posd.profiles.unionpay.profile import Knobs, UnionPay
from posd.security.keys import ClearTmk
from posd.values import BatchNumber, Minor, RequestId, Rrn, Stan, Tid

VECTORS = Path(__file__).parents[2] / "posd" / "vectors" / "unionpay.json"
SAMPLES = {row["name"]: row for row in json.loads(VECTORS.read_text(encoding="utf-8"))["messages"]}
TMK = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
KEYS = SAMPLES["B2"]["fields"]["62"]
PAN = "6225880123456789"
TRACK_2 = "6225880123456789=30122010000012345678"


@pytest.fixture
def profile() -> UnionPay:
    return UnionPay(Knobs())


@pytest.fixture
def terminal() -> Terminal:
    return Terminal(Tid("10000001"), "898100012345678", ClearTmk(TMK), mac_required=False)


@pytest.fixture
def session() -> Session:
    """Signed in with the keys of B2."""
    return Session(signed_in=True, wrapped_keys=KEYS, generation=1, out_because="")


@pytest.fixture
def frame() -> Callable[[str], bytes]:
    """The frame of a sample, without its length."""

    def of(name: str) -> bytes:
        (data,) = LengthPrefixed().feed(bytes.fromhex(SAMPLES[name]["hex"]))
        return data

    return of


@pytest.fixture
def arrived(profile: UnionPay, frame: Callable[[str], bytes]) -> Callable[[str], Arrived]:
    """A sample as it comes off the line."""
    return lambda name: profile.arrive(frame(name))


@pytest.fixture
def sale() -> Transaction:
    """The sale of B3 as B4 approved it."""
    return Transaction(
        request_id=RequestId("the sale"),
        kind=TxnKind.SALE,
        status=TxnStatus.APPROVED,
        amount_minor=Minor(12345),
        stan=Stan(124),
        batch=1,
        batch_number=BatchNumber(8),
        terminal_batch=8,
        terminal_stan=Stan(124),
        at_ms=0,
        fingerprint="",
        entry_mode="021",
        options="000500",
        facts=AnswerFacts("00", rrn=Rrn("112200000124"), approval_code="654321", host_date="1122"),
    )


@pytest.fixture
def void(sale: Transaction) -> Transaction:
    """The void of B7."""
    return Transaction(
        request_id=RequestId("the void"),
        kind=TxnKind.VOID,
        status=TxnStatus.SENT,
        amount_minor=Minor(12345),
        stan=Stan(126),
        batch=1,
        batch_number=BatchNumber(8),
        terminal_batch=8,
        terminal_stan=Stan(126),
        at_ms=0,
        fingerprint="",
        entry_mode="012",
        options="000500",
        original=sale.request_id,
    )
