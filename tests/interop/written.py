"""One message and more of every kind that posd writes, made by the profiles' own encoders from meanings.

What a message is made of is said once for all dialects; a `Dialect` says how its terminals ask.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import cycle

from msgspec.structs import replace

from posd.core import effects as fx
from posd.core.answers import AnswerFacts, GroupCount, GroupResult, Totals
from posd.core.rules import TxnKind, Upload
from posd.core.state import ChipResult, Session, Transaction, TxnStatus
from posd.iso8583.message import Message
from posd.profiles.contract import Material, Outgoing, Profile, Terminal
from posd.security.cards import CardData
from posd.values import BatchNumber, Minor, Now, RequestId, Rrn, Stan
from tests.interop.kinds import words

NOW = Now(1_795_000_000_000, 1000.0)
BATCH = BatchNumber(8)
CHIP = "9F2608A1B2C3D4E5F607189F2701809F3602001E9F3704DEADBEEF95050000000800"
SHORT = "622588012345678"

CARDS: Mapping[str, CardData] = {
    "typed in": CardData(pan="6225880123456789", expiry="3012", entry_mode="012"),
    "19 digits": CardData(pan="6225880123456789013", expiry="3012", entry_mode="012"),
    "13 digits": CardData(pan="4000000000006", expiry="3012", entry_mode="012"),
    "swiped, PIN": CardData(
        track2="6225880123456789=30122010000012345678", pin_block="ACF46E73838A82F9", entry_mode="021"
    ),
    "swiped, even track, third track": CardData(
        track2=f"{SHORT}=3012201000001234",
        track3=f"99{SHORT}=1561560500050000000000000000214000000000000=0=000000000",
        entry_mode="022",
    ),
    "chip": CardData(pan="6225880123456789", expiry="3012", sequence="001", icc=CHIP, entry_mode="052", kept_icc=CHIP),
    "contactless": CardData(track2="6225880123456789=30122010000012345678", sequence="002", icc=CHIP, entry_mode="072"),
}

REMARK = "CUP" + "请保留签购单".encode("gbk").decode("latin-1")
FACTS = (
    AnswerFacts(
        "00", Rrn("112200000124"), "654321", "1122", "093000", "1122", "48010000", f"{'03010000':<11}{'48010000':<11}"
    ),
    AnswerFacts("51", Rrn("112200000125"), None, "1122", "093001"),
    AnswerFacts("00", acquirer="01234567890", balances="0110156C000000012345", scheme=REMARK),
)


@dataclass(frozen=True)
class Dialect:
    """`moov`: what the Go program calls its wire. `request`: what a terminal sends for a kind and a card.

    `options`: what the core keeps of it. `absent`: messages of the core that the dialect does not have, with the words
    in which its profile says so. `managed`: what it asks the host for; `managed_answer`: what comes back.
    """

    name: str
    moov: str
    profile: Profile
    terminal: Terminal
    session: Session
    request: Callable[[TxnKind, CardData], Message]
    options: Callable[[TxnKind], str]
    absent: Mapping[str, str] = field(default_factory=dict)
    managed: tuple[fx.SendManagement, ...] = ()
    managed_answer: str = ""


@dataclass(frozen=True)
class Written:
    """A message with the kinds that it is an example of."""

    kinds: tuple[str, ...]
    name: str
    out: Outgoing


def transaction(dialect: Dialect, kind: TxnKind, card: CardData, number: int) -> Transaction:
    """As it was sent; an advice and an upload of it say the same again."""
    return Transaction(
        request_id=RequestId(f"{kind}-{number}"),
        kind=kind,
        status=TxnStatus.APPROVED,
        amount_minor=Minor(12345 + number),
        stan=Stan(number),
        batch=1,
        batch_number=BATCH,
        terminal_batch=999,
        terminal_stan=Stan(777),
        at_ms=NOW.wall_ms,
        fingerprint="",
        entry_mode=card.entry_mode or "012",
        options=dialect.options(kind),
        facts=FACTS[0],
        tip_minor=Minor(100 if kind is TxnKind.TIP else 0),
    )


def material(dialect: Dialect, txn: Transaction, card: CardData) -> Material:
    kept = CardData(card.number, card.expiry or "3012", sequence=card.sequence, kept_icc=card.kept_icc)
    told = dialect.profile.kinds[txn.kind].advice  # from sealed facts alone
    return Material({} if told else {txn.request_id: dialect.request(txn.kind, card)}, {txn.request_id: kept})


def of_transactions(dialect: Dialect) -> Iterator[tuple[str, fx.HostMessage, Material]]:
    """Name, meaning and what its encoding needs, for every kind and every card."""
    number = 100
    for kind, rules in dialect.profile.kinds.items():
        for how, card in CARDS.items():
            number += 1
            txn = transaction(dialect, kind, card, number)
            needs, original = material(dialect, txn, card), None
            if rules.original is not None:
                first = sorted(rules.original.kinds)[0]
                original = transaction(dialect, first, card, number + 500)
            if rules.advice:
                yield f"{kind} advice, {how}", fx.SendAdvice(txn, original, original), needs
            else:
                yield f"{kind} request, {how}", fx.SendTransaction(txn, original, original), needs
            if rules.reversible:
                reason = dialect.profile.reversal_reasons[next(iter(dialect.profile.reversal_reasons))]
                for repeat in (False, True):
                    again = ", again" if repeat else ""
                    message = fx.SendReversal(txn, original, reason, repeat=repeat)
                    yield f"{kind} reversal, {how}{again}", message, needs
            if rules.upload is not Upload.NONE:
                upload = fx.SendUpload(Stan(number), BATCH, (txn,), original, original, more=True)
                yield f"{kind} upload, {how}", upload, needs


def shared_upload(dialect: Dialect) -> tuple[str, fx.HostMessage, Material]:
    """Eight records in one message, where the dialect shares them: field 48 at its longest."""
    card = CARDS["19 digits"]
    txns = tuple(transaction(dialect, TxnKind.SALE, card, number) for number in range(1, 9))
    cards = {txn.request_id: card for txn in txns}
    return "sale upload, eight", fx.SendUpload(Stan(9), BATCH, txns), Material({}, cards)


TOTALS = Totals(GroupCount(17345, 2, 12345, 1), GroupCount(999_999_999_999, 999, 1, 1))


def of_management(dialect: Dialect) -> list[fx.HostMessage]:
    """One of each that moves no money; of the end message both."""
    stan = Stan(999_999)
    return [
        fx.SendSignIn(stan, BATCH),
        fx.SendSignOff(stan, BATCH),
        fx.SendEcho(BATCH),
        *dialect.managed,
        fx.SendTotals(stan, BATCH, TOTALS),
        fx.SendTrailer(stan, BATCH, 3, balanced=False, totals=TOTALS),
        fx.SendTrailer(stan, BATCH, 0, balanced=True, totals=TOTALS),
    ]


def of_chips(dialect: Dialect) -> Iterator[tuple[str, fx.HostMessage, Material]]:
    """What a chip did, however it ended and whether the totals agree or not."""
    card = CARDS["chip"]
    for number, result in enumerate(ChipResult, 1):
        txn = replace(transaction(dialect, TxnKind.SALE, card, number), chip=True)
        for balanced in (True, False):
            message = fx.SendChipDetail(Stan(number), BATCH, txn, result, balanced)
            yield f"chip detail, {result}", message, material(dialect, txn, card)


def to_host(dialect: Dialect) -> Iterator[Written]:
    """Every message to the host."""

    def encoded(name: str, message: fx.HostMessage, needs: Material) -> Written:
        out = dialect.profile.encode(message, dialect.terminal, dialect.session, needs)
        return Written((name.partition(",")[0],), name, out)

    for name, message, needs in of_transactions(dialect):
        yield encoded(name, message, needs)
    if dialect.name == "unionpay":
        yield encoded(*shared_upload(dialect))
    for message in of_management(dialect):
        if words(type(message)) not in dialect.absent:
            yield encoded(words(type(message)), message, Material({}, {}))
    if "chip detail" not in dialect.absent:
        for name, message, needs in of_chips(dialect):
            yield encoded(name, message, needs)


def to_terminal(dialect: Dialect) -> Iterator[Written]:
    """Every answer to a terminal's message; what a terminal says is what we would say to the host."""
    said = {written.kinds[0]: written.out.frame for written in to_host(dialect)}
    facts = cycle(FACTS)
    for name, frame in said.items():
        results: list[fx.Result | fx.Refused] = [fx.Result(next(facts)), fx.Refused(fx.Refusal.NOT_SENT, "")]
        kind, _, what = name.rpartition(" ")
        told = (f"answer to {kind}",) if what in ("request", "advice") else ()
        for answer in results:
            yield _answer(dialect, frame, answer, f"{name}: {words(type(answer))}", told)
    sale = said["sale request"]
    yield _answer(dialect, sale, fx.Result(FACTS[0], approved_minor=Minor(5000)), "sale: a part", ())
    for refusal in fx.Refusal:
        yield _answer(dialect, sale, fx.Refused(refusal, ""), f"sale: {refusal}", ())
    keys = dialect.session.wrapped_keys or ""
    yield _answer(dialect, said["sign in"], fx.SignInResult(keys, 0), "sign in: sign in result", ())
    block = fx.ManagementResult("00", dialect.managed_answer)
    yield _answer(dialect, said["management"], block, "management: management result", ())
    totals = fx.TotalsResult(TOTALS, GroupResult.BALANCED, GroupResult.UNBALANCED)
    yield _answer(dialect, said["totals"], totals, "totals: totals result", ())


def _answer(
    dialect: Dialect,
    frame: bytes,
    answer: fx.Result | fx.Refused | fx.SignInResult | fx.TotalsResult | fx.ManagementResult,
    name: str,
    told: tuple[str, ...],
) -> Written:
    request = dialect.profile.arrive(frame)
    said = fx.ToTerminal("r", answer)
    out = dialect.profile.encode_answer(request, said, dialect.terminal, dialect.session, NOW)
    return Written((*told, f"answer: {words(type(answer))}"), f"answer to {name}", out)
