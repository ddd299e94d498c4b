"""A shop counter for the matrix: a terminal on a real socket to a host that knows chip cards."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from simulators.host.acquirer import Acquirer
from simulators.host.books import Card
from simulators.host.faults import Faults, Rule
from simulators.host.server import HostServer
from simulators.host.settings import Behaviour, CardSettings, HostSettings, TerminalSettings
from simulators.terminal.client import TerminalClient
from simulators.terminal.core import Terminal
from tests.simulators.bench import MID, TID, TMK

BALANCE_MINOR, PURSE_MINOR = 1_000_000, 50_000
STRIPE, CHIP, FOREIGN = "6225880123456789", "6225880000000005", "4761739001010010"
SCRIPT = "72129F1804000000018609841E0000040000000000"
BATCH = 8

Json = dict[str, Any]


class Counter:
    """`do` sends a step; the books are read as a person reads them."""

    def __init__(self, rules: tuple[Rule, ...], card: Json, behaviour: Json, more: Json) -> None:
        chip = {"pan": CHIP, "balance": BALANCE_MINOR, "purse": PURSE_MINOR, "issuer_auth": True} | card
        cards = (
            CardSettings(pan=STRIPE, balance=BALANCE_MINOR),
            CardSettings(**chip),
            CardSettings(pan=FOREIGN, balance=BALANCE_MINOR, scheme="VIS"),
        )
        terminals = (TerminalSettings(tid=TID, mid=MID, tmk=TMK, batch=BATCH),)
        behave = Behaviour(**behaviour)
        self.acquirer = Acquirer(HostSettings(terminals=terminals, cards=cards, behaviour=behave, **more), seed=5)
        self.events: list[dict[str, object]] = []
        self.server = HostServer(self.acquirer, Faults(rules, 5), emit=self.events.append)
        self.client = TerminalClient(Terminal(TID, MID, bytes.fromhex(TMK)), "127.0.0.1", 0, timeout_s=0.5)

    async def do(self, do: str, **more: object) -> Json:
        return await self.client.do({"do": do, **more})

    async def good(self, do: str, **more: object) -> int:
        """A step that must be approved; its trace."""
        result = await self.do(do, **more)
        assert result["outcome"] == "approved", result
        return int(str(result["stan"]))

    async def stripe(self, do: str, amount: object, card: str = STRIPE, **more: object) -> int:
        return await self.good(do, card=card, expiry="3012", amount=amount, **more)

    async def chip(self, do: str, amount: object, entry: str = "051", **more: object) -> int:
        return await self.good(do, card=CHIP, expiry="3012", amount=amount, entry=entry, **more)

    @property
    def books(self) -> Json:
        dump: Any = self.acquirer.dump()
        books: Json = dump["terminals"][0]
        return books

    @property
    def settlement(self) -> Json:
        found: Json = self.books["batches"][0]["settlements"][-1]
        return found

    def entry(self, stan: int) -> Json:
        rows = [row for batch in self.books["batches"] for row in batch["transactions"]]
        found: Json = next(row for row in rows if row["stan"] == stan)
        return found

    def state(self, stan: int) -> str:
        return str(self.entry(stan)["state"])

    def entry_day(self, stan: int) -> str:
        """Field 13 of the answer to a request of the first batch."""
        return self.acquirer.books.terminals[TID].batches[0].entries[stan].answer.get(13) or ""

    def card(self, pan: str = STRIPE) -> Card:
        return self.acquirer.books.cards[pan]

    def spent(self, pan: str = STRIPE) -> int:
        return BALANCE_MINOR - self.card(pan).balance_minor

    def totals(self) -> tuple[int, int, int, int]:
        """Domestic: debit amount and count, credit amount and count."""
        group = self.books["batches"][0]["totals"]["domestic"]
        return (group["debit_minor"], group["debit_count"], group["credit_minor"], group["credit_count"])

    def clean(self) -> bool:
        """Nothing to remark, nothing against the field lists."""
        assert self.books["conformance"] == []
        assert self.books["remarks"] == []
        return True


def at_the_counter(
    scene: Callable[[Counter], Awaitable[None]],
    *rules: Rule,
    card: Json | None = None,
    more: Json | None = None,
    **behaviour: Any,
) -> Counter:
    """Play a scene with a signed-in terminal. `card`: settings of the chip card; `more`: of the host."""

    async def run() -> Counter:
        one = Counter(rules, card or {}, behaviour, more or {})
        one.client.port = await one.server.start("127.0.0.1", 0)
        try:
            await one.good("sign_in")
            await scene(one)
        finally:
            await one.client.close()
            await one.server.close()
        return one

    return asyncio.run(run())
