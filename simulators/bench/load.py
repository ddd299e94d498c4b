"""The load: terminals in a closed loop, each sending its next sale when the last one was answered.

What can be done before the clock starts is done before (signing in, encoding, MACs), and what can be done after it
stopped is done after (decoding every answer, checking its MAC and code), so that the load takes as little as it can of
the CPU that the two programs share. A terminal id makes `SALES_PER_TERMINAL` sales and is then left for a fresh one:
the load stays below every mark of D22.
"""

import asyncio
import gc
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from posd.framing.length_prefix import LengthPrefixed, with_length
from posd.framing.tpdu import Envelope, join, split
from posd.iso8583.unionpay import UNIONPAY
from simulators.bench.figures import BenchTrouble
from simulators.bench.stage import DOMESTIC_PAN, EXPIRY, MID, TMK
from simulators.crypto import BLOCK_BYTES, ecb_mac
from simulators.terminal.client import HEADER, TPDU, TerminalClient
from simulators.terminal.core import MAC_PLACE, CardInHand, Terminal

SALES_PER_TERMINAL = 690
"""Below the first warning of D22 (700 a group and side)."""
SIGN_IN_S_MAX = 60.0
RETRY_S = 0.1
ANSWER_S_MAX = 20.0
AMOUNT_MINOR = 1_00
CARD = CardInHand(DOMESTIC_PAN, EXPIRY)
APPROVED = "00"
_STAN_A, _STAN_B = "111111", "222222"


@dataclass(frozen=True, slots=True)
class Sale:
    """One prepared request: its frame with the length before it, and who sends it."""

    frame: bytes
    stan: int
    member: "Member"


class Member:
    """One terminal id of the load: signed in, and able to make its sales quickly from a template."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self._place, self._body = _template(terminal)
        self.left = SALES_PER_TERMINAL

    def sale(self) -> Sale:
        """The next sale: the template with its own trace number, and its MAC where the terminal has keys."""
        stan, self.terminal.stan = self.terminal.stan, self.terminal.stan + 1
        self.left -= 1
        body = bytearray(self._body)
        body[self._place : self._place + 3] = bytes.fromhex(f"{stan:06d}")
        if self.terminal.keys is not None:
            body[-BLOCK_BYTES:] = ecb_mac(self.terminal.keys.mak, bytes(body[:-BLOCK_BYTES]))
        return Sale(with_length(join(Envelope(TPDU, b"", HEADER), bytes(body))), stan, self)


def _template(terminal: Terminal) -> tuple[int, bytes]:
    """Where the trace number stands in the encoded sale, and the sale."""
    message = terminal.sale(CARD, AMOUNT_MINOR).message
    if terminal.keys is not None:
        message = message.with_({64: MAC_PLACE})
    one, other = (UNIONPAY.encode(message.with_({11: stan})) for stan in (_STAN_A, _STAN_B))
    place = next(index for index, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1])
    return place, one


@dataclass(slots=True)
class Pool:
    """Fresh terminal ids, taken one after the other. BenchTrouble when there are none left."""

    members: Iterator[Member]

    def take(self) -> Member:
        member = next(self.members, None)
        if member is None:
            raise BenchTrouble("the terminal ids are used up: run with fewer --seconds")
        return member


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer as it came. `took_ns`: from send to the whole answer."""

    sale: Sale
    frame: bytes
    took_ns: int


class Till(asyncio.Protocol):
    """One connection of the load: a terminal, and after it the next one of the pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool, self._member = pool, pool.take()
        self._ready: deque[Sale] = deque()
        self._frames = LengthPrefixed()
        self._transport: asyncio.Transport | None = None
        self._sale: Sale | None = None
        self._sent_ns = self._until_ns = 0
        self.answers: list[Answered] = []
        self.late = 0
        """Sales that had to be encoded while the clock ran."""
        self.rest = asyncio.Event()
        self.lost = ""

    def prepare(self, count: int) -> None:
        """Encode until `count` sales are ready."""
        while len(self._ready) < count:
            self._ready.append(self._next())

    def _next(self) -> Sale:
        if self._member.left <= 0:
            self._member = self._pool.take()
        return self._member.sale()

    def begin(self, until_ns: int) -> None:
        """Start the loop; no further sale after `until_ns` (time.perf_counter_ns)."""
        self.answers, self.late, self._until_ns = [], 0, until_ns
        self.rest.clear()
        self._send()

    def _send(self) -> None:
        assert self._transport is not None
        if not self._ready:
            self.late += 1
            self._ready.append(self._next())
        self._sale = self._ready.popleft()
        self._sent_ns = time.perf_counter_ns()
        self._transport.write(self._sale.frame)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for frame in self._frames.feed(data):
            if self._sale is None:
                self.lost = "an answer that nobody asked for"
                continue
            now_ns = time.perf_counter_ns()
            self.answers.append(Answered(self._sale, frame, now_ns - self._sent_ns))
            self._sale = None
            if now_ns < self._until_ns:
                self._send()
            else:
                self.rest.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = self.lost or "the connection was cut"
        self.rest.set()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


@dataclass(frozen=True, slots=True)
class Pass:
    """One timed stretch: how many sales were answered in how many seconds, and how long each took."""

    seconds: float
    took_ns: tuple[int, ...]
    late: int = 0

    @property
    def per_second(self) -> float:
        return len(self.took_ns) / self.seconds

    def joined(self, other: "Pass") -> "Pass":
        """Both stretches as one."""
        return Pass(self.seconds + other.seconds, (*self.took_ns, *other.took_ns), self.late + other.late)


@dataclass(slots=True)
class Load:
    """`terminals` tills connected to one port, for several passes."""

    port: int
    tills: list[Till] = field(default_factory=list)

    async def connect(self, pool: Pool, terminals: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(terminals):
            _, till = await loop.create_connection(lambda: Till(pool), "127.0.0.1", self.port)
            self.tills.append(till)

    def prepare(self, expected: int) -> None:
        """Encode what `expected` sales a pass need, spread over the tills."""
        for till in self.tills:
            till.prepare(expected // len(self.tills) + 2)

    async def run(self, seconds: float) -> Pass:
        """One pass; every answer is judged after it. BenchTrouble for a wrong or a missing one."""
        gc.collect()
        begun_ns = time.perf_counter_ns()
        for till in self.tills:
            till.begin(begun_ns + int(seconds * 1e9))
        try:
            async with asyncio.timeout(seconds + ANSWER_S_MAX):
                await asyncio.gather(*(till.rest.wait() for till in self.tills))
        except TimeoutError:
            raise BenchTrouble(f"an answer did not come within {ANSWER_S_MAX:.0f} s") from None
        took_s = (time.perf_counter_ns() - begun_ns) / 1e9
        for till in self.tills:
            if till.lost:
                raise BenchTrouble(f"the load on port {self.port}: {till.lost}")
        answers = [answer for till in self.tills for answer in till.answers]
        for answer in answers:
            judge(answer)
        return Pass(took_s, tuple(answer.took_ns for answer in answers), sum(till.late for till in self.tills))

    def close(self) -> None:
        for till in self.tills:
            till.close()


def judge(answer: Answered) -> None:
    """Whether it is the approval of its own sale, with a good MAC where one is due. BenchTrouble otherwise."""
    _, body = split(answer.frame, len(HEADER))
    message, terminal = UNIONPAY.decode(body), answer.sale.member.terminal
    if (message.mti, message.get(41), message.get(11)) != ("0210", terminal.tid, f"{answer.sale.stan:06d}"):
        raise BenchTrouble(f"terminal {terminal.tid}: sale {answer.sale.stan} got another one's answer")
    if message.get(39) != APPROVED:
        raise BenchTrouble(f"terminal {terminal.tid}: sale {answer.sale.stan} was answered {message.get(39)}")
    keys = terminal.keys
    if keys is not None and ecb_mac(keys.mak, body[:-BLOCK_BYTES]) != body[-BLOCK_BYTES:]:
        raise BenchTrouble(f"terminal {terminal.tid}: the MAC of the answer to sale {answer.sale.stan} is wrong")


async def sign_in(port: int, tids: list[str], *, mac: bool) -> list[Member]:
    """Each terminal signed in (with `mac`) and with one sale behind it: all of the road is open and warm."""
    return [await _member(port, tid, mac) for tid in tids]


async def _member(port: int, tid: str, mac: bool) -> Member:
    client = TerminalClient(Terminal(tid, MID, bytes.fromhex(TMK) if mac else None), "127.0.0.1", port)
    steps = [{"do": "sign_in"}] if mac else []
    steps.append({"do": "sale", "amount": "1.00", "card": DOMESTIC_PAN, "expiry": EXPIRY})
    try:
        for step in steps:
            await _insist(client, step)
    finally:
        await client.close()
    return Member(client.terminal)


async def _insist(client: TerminalClient, step: dict[str, str]) -> None:
    """Until it is approved: posd may still be signing its terminals in."""
    until = time.monotonic() + SIGN_IN_S_MAX
    while True:
        result = await client.do(step)
        if result["outcome"] == "approved":
            return
        if time.monotonic() > until:
            raise BenchTrouble(f"terminal {client.terminal.tid}: {step['do']}: {result['outcome']} {result['code']}")
        await asyncio.sleep(RETRY_S)
