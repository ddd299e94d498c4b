"""One meaning for each message that posd says to a NAC host: what part C says, and the rest beside it."""

from msgspec.structs import replace

from posd.core import effects as fx
from posd.core.answers import AnswerFacts, GroupCount, Totals
from posd.core.rules import TxnKind
from posd.core.state import Transaction, TxnStatus
from posd.iso8583.message import Message
from posd.profiles.contract import Material
from posd.security.cards import CardData
from posd.values import BatchNumber, Minor, RequestId, Rrn, Stan

PAN, EXPIRY = "4761739001010119", "3012"
ISSUED_MS = 1_795_312_812_000
"""2026-11-22 10:00:12 in Shanghai."""

BATCH = BatchNumber(7)
TOTALS = Totals(GroupCount(15_000, 2, 2_000, 1))
CARD = CardData(pan=PAN, expiry=EXPIRY, entry_mode="012")
ICC = "9F2608A1B2C3D4E5F60708950500000080009F360200119A03261122"


def txn(kind: TxnKind, stan: int, minor: int, options: str, **more: object) -> Transaction:
    """A transaction of this kind; its facts are given in `more`."""
    values: dict[str, object] = {
        "request_id": RequestId(f"{kind.value}-{stan}"),
        "kind": kind,
        "status": TxnStatus.SENT,
        "amount_minor": Minor(minor),
        "stan": Stan(stan),
        "batch": 1,
        "batch_number": BATCH,
        "terminal_batch": 0,
        "terminal_stan": Stan(stan),
        "at_ms": ISSUED_MS,
        "fingerprint": "",
        "entry_mode": "012",
        "options": options,
        "invoice": 1,
    }
    return Transaction(**{**values, **more})  # type: ignore[arg-type]


def told(stan: int, time: str = "101500") -> AnswerFacts:
    return AnswerFacts("00", rrn=Rrn(f"112200{stan:06d}"), approval_code="123456", host_date="1122", host_time=time)


SALE = txn(TxnKind.SALE, 11, 10_000, "000000|00||||")
SOLD = replace(SALE, status=TxnStatus.APPROVED, facts=told(11))
GIVEN = "000000|00|100012|1122||765432"
OFFLINE = txn(TxnKind.OFFLINE_SALE, 30, 7_000, GIVEN, invoice=5)
BY_CHIP = txn(TxnKind.OFFLINE_SALE, 43, 7_000, "000000|00|100012|1122||765432|Y1", entry_mode="051", invoice=10)
ADJUSTED = txn(TxnKind.ADJUST, 44, 8_000, "020000|00|100512|1122||", original=OFFLINE.request_id, invoice=5)
HELD = txn(TxnKind.PREAUTH, 31, 9_000, "300000|06||||", invoice=6, facts=told(31))
TIP = txn(TxnKind.TIP, 34, 11_000, "020000|00|100512|1122||", original=SOLD.request_id, tip_minor=Minor(1_000))


def meanings() -> dict[str, tuple[fx.HostMessage, Material]]:
    """By name: N1 to N9 are those of samples.txt part C."""
    typed = Message("0200", {2: PAN, 14: EXPIRY, 22: "012"})
    swiped = Message("0200", {22: "022", 35: f"{PAN}={EXPIRY}2010000012345678", 52: "0123456789ABCDEF"})
    chip = Message("0200", {22: "051", 23: "001", 35: f"{PAN}={EXPIRY}2010000012345678", 55: ICC})

    def with_request(sent: Transaction, request: Message, *of: Transaction) -> tuple[fx.HostMessage, Material]:
        original = of[0] if of else None
        material = Material({sent.request_id: request}, {})
        return fx.SendTransaction(sent, original, of[-1] if of else None), material

    def sealed(sent: Transaction) -> Material:
        return Material({}, {sent.request_id: CARD})

    def of_chip(sent: Transaction) -> Material:
        return Material({}, {sent.request_id: CardData(pan=PAN, expiry=EXPIRY, kept_icc=ICC, sequence="001")})

    void = txn(TxnKind.VOID, 32, 11_000, "020000|00||||", original=TIP.request_id)
    refund = txn(TxnKind.REFUND, 33, 2_000, "200000|00||||", invoice=3)
    done = txn(TxnKind.COMPLETION_NOTICE, 35, 8_000, "000000|06|110000|1122|112200000031|", invoice=7)
    refund_void = txn(TxnKind.REFUND_VOID, 36, 2_000, "220000|00||||", invoice=3)
    undone = txn(TxnKind.VOID_NOTICE, 41, 11_000, "020000|00|100512|1122||", original=TIP.request_id)
    certificate = txn(TxnKind.CERTIFICATE, 37, 10_000, "940000|00|||112200000011|")
    given = replace(refund, facts=told(33))
    swipe = txn(TxnKind.SALE, 38, 12_345, "000000|00||||", entry_mode="022", invoice=8, tip_minor=Minor(345))
    dipped = txn(TxnKind.SALE, 39, 100, "002000|00||||", entry_mode="051", invoice=9)
    kept = of_chip(certificate)
    return {
        "N1": (fx.SendSignIn(Stan(10), BATCH), Material({}, {})),
        "N2": (fx.SendEcho(BATCH), Material({}, {})),
        "N3": with_request(SALE, typed),
        "N4": (fx.SendReversal(SALE, None, ""), sealed(SALE)),
        "N5": (fx.SendTotals(Stan(20), BATCH, TOTALS), Material({}, {})),
        "N7": (fx.SendUpload(Stan(21), BATCH, (SOLD,), None, SOLD, True), sealed(SOLD)),
        "N9": (fx.SendTrailer(Stan(24), BATCH, 3, False, TOTALS), Material({}, {})),
        "swiped sale with tip": with_request(swipe, swiped),
        "chip sale": with_request(dipped, chip),
        "refund": with_request(refund, typed),
        "void of a sale with a tip": with_request(void, typed, TIP, SOLD),
        "void of a refund": with_request(refund_void, typed, given, given),
        "pre-authorisation": with_request(HELD, typed.with_({})),
        "offline sale": (fx.SendAdvice(OFFLINE, None), sealed(OFFLINE)),
        "completion": (fx.SendAdvice(done, HELD, HELD), sealed(done)),
        "tip": (fx.SendAdvice(TIP, SOLD, SOLD), sealed(TIP)),
        "void by advice": (fx.SendAdvice(undone, TIP, SOLD), sealed(undone)),
        "parameter load": (fx.SendManagement(Stan(42), BATCH, "930000", f"60:{b'A B'.hex()}", {}), Material({}, {})),
        "certificate": (fx.SendAdvice(certificate, SOLD, SOLD), kept),
        "upload of what was adjusted": (fx.SendUpload(Stan(40), BATCH, (TIP,), SOLD, SOLD, True), sealed(TIP)),
        "reversal of a void": (fx.SendReversal(void, TIP, ""), sealed(void)),
        "offline sale that the chip approved": (fx.SendAdvice(BY_CHIP, None), of_chip(BY_CHIP)),
        "its upload": (fx.SendUpload(Stan(45), BATCH, (BY_CHIP,), None, BY_CHIP, False), of_chip(BY_CHIP)),
        "adjustment": (fx.SendAdvice(ADJUSTED, OFFLINE, OFFLINE), sealed(ADJUSTED)),
    }
