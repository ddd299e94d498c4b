"""What secrets are searched for in: days of a shop of either dialect, with every kind of trouble in them.

Real processes, on a disk image of its own; the keys' own files lie outside, as the service's credentials do.
"""

import asyncio
import contextlib
import io
import os
import re
import resource
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from posd.__main__ import main
from posd.cli.demo.canary import Canary, bytes_canary, digits_canary
from posd.security.datakeyfile import key_files, read_key_file
from posd.security.machine import load_machine_key
from posd.security.wrapping import Wrapping
from simulators.crypto import SIGN_IN_DOUBLE_TRACK, decrypt, new_keys, pin_block
from simulators.terminal.client import TerminalClient
from simulators.terminal.core import TRACK_TAIL, Terminal
from simulators.terminal.nac_client import NacClient
from simulators.terminal.nac_core import NacTerminal
from tests.daemon.stage import MID, TID, TMK, write_configuration
from tests.daemon.till.client import Till
from tests.system.house import CANARY, EXPIRY, House
from tests.system.image import Image

SEED = 4711
PIN = "8642"
OTHER_CARD = "6225881234567890128"
"""Of no account at the host: declined."""
TYPED = "6225886666666666614"
CVV2 = "739184625"
"""Longer than a real one, so that it can be told from chance."""
COMPONENTS = ("1A2A4C4C5E5E707083A2B5C4D5E6F701", "2F3E4F5E6D7C8A9BABBAC8D9E0F1E3D5")

FAULTS: tuple[dict[str, Any], ...] = (
    {"mti": "0200", "amount": "31.00", "do": "lose_answer"},
    {"mti": "0200", "amount": "32.00", "do": "wrong_mac"},
    {"mti": "0200", "amount": "33.00", "do": "garbage"},
    {"mti": "0200", "amount": "34.00", "do": "partial"},
    {"mti": "0200", "amount": "35.00", "do": "refuse", "code": "51"},
    {"mti": "0200", "amount": "36.00", "do": "delay", "ms": 900},
)

AS_POSD = """
sys.argv = ["posd", *sys.argv[3:]]
from posd.__main__ import main
sys.exit(main())
"""

LAST_MONTH = f"""
import sys
from msgspec.structs import replace
from posd.daemon.clock import SystemClock
honest = SystemClock.now
def before(clock):
    now = honest(clock)
    return replace(now, wall_ms=now.wall_ms - 40 * 86_400_000)
SystemClock.now = before
{AS_POSD}"""
"""posd forty days ago, so that a month is over that can be archived."""

PLANTED = f"""
import sys
from posd.daemon.lane import Lane
from posd.errors import InvariantBroken
honest = Lane._answers
def broken(lane, draft):
    cards, requests = dict(lane._memory.cards), dict(lane._memory.requests)
    number = [card.number for card in cards.values()]
    for txn in draft.state.transactions.values():
        if txn.amount_minor == 7777 and number:
            raise InvariantBroken(f"planted: {{number[0]}} {{cards}} {{requests}}")
        if txn.amount_minor == 8888 and number:
            raise OSError(f"planted: {{number}} {{list(requests.values())[0].fields}}")
    return honest(lane, draft)
Lane._answers = broken
{AS_POSD}"""
"""posd with two bugs: one that fences a lane, one that ends the process, both with all they can say in their texts."""


@dataclass
class Told:
    """What is left of the story."""

    folder: Path
    image: Image | None
    secrets: list[Canary]
    said: dict[str, bytes] = field(default_factory=dict)
    """What posd and its commands said, by the name of the door."""
    seen: set[str] = field(default_factory=set)
    uploads: int = 0


@dataclass
class Secretive(House):
    """Keys, host and terminals lie outside of the image. `nac`: the other dialect, without keys of its own."""

    nac: bool = False

    @property
    def keys(self) -> Path:
        return self.outside / "keys"

    def host_settings(self) -> dict[str, Any]:
        settings = super().host_settings()
        settings["cards"].append({"pan": TYPED, "balance": "9000000.00", "expiry": EXPIRY})
        if self.nac:  # 95, so that everything is uploaded from the vault
            terminals = [{"tid": tid, "mid": MID} for tid in self.tids]
            faults = [fault for fault in self.faults if fault["do"] != "wrong_mac"]
            settings |= {"profile": "nac", "terminals": terminals, "nac": {"disagree": "totals"}, "faults": faults}
        return settings

    def open(self) -> None:
        self.keys.mkdir()
        self.change = {
            "till": {"socket": str(self.folder / "till.sock"), "card_data": "accepted"},
            "backup": {"path": str(self.folder / "backups"), "keys_to": str(self.folder / "key copies")},
            "log": {"format": "json", "level": "debug"},
        }
        for name in ("backups", "key copies"):
            (self.folder / name).mkdir()
        if self.nac:
            self.change |= {"host": {"profile": "nac"}}
        super().open()
        if self.nac:
            self.settings["terminals"] = [{"tid": tid, "mid": MID, "unsigned": "accept"} for tid in self.tids]
            self.config = write_configuration(self.folder, self.settings)
        self.before = load_machine_key(self.keys / "machine.key")

    def client(self) -> TerminalClient | NacClient:
        if self.nac:
            return NacClient(NacTerminal(TID, MID), "127.0.0.1", self.door_port, 3.0)
        return TerminalClient(Terminal(TID, MID, bytes.fromhex(TMK)), "127.0.0.1", self.door_port, timeout_s=3.0)


def of_everything(house: Secretive, sign_ins: int) -> list[Canary]:
    """Whatever was secret in the story."""
    found = [digits_canary(f"card {pan[-4:]}", pan) for pan in (CANARY, OTHER_CARD, TYPED)]
    found += [digits_canary("a track's end", f"{EXPIRY}{TRACK_TAIL}"), digits_canary("a CVV", CVV2)]
    machine_key = load_machine_key(house.keys / "machine.key")
    for name, key in (("the first machine key", house.before), ("the machine key", machine_key)):
        found.append(bytes_canary(name, key.secret))
        found += [bytes_canary(f"{name}'s {what}", key.derive(what)) for what in ("chain", "digest", "card", "tmk")]
    wrapping = Wrapping("card", machine_key)
    for path in key_files(house.folder / "state" / "keys"):
        said = read_key_file(path)
        found.append(bytes_canary(f"data key {said.key_id}", wrapping.unwrap(bytes.fromhex(said.wrapped), said.what)))
    return found + (list(_of_unionpay(sign_ins)) if not house.nac else [])


def _of_unionpay(sign_ins: int) -> Iterator[Canary]:
    loaded = bytes(one ^ other for one, other in zip(*map(bytes.fromhex, COMPONENTS), strict=True))
    for name, key in (("the TMK", bytes.fromhex(TMK)), ("a loaded TMK", loaded)):
        yield bytes_canary(name, key)
    for component in COMPONENTS:
        yield bytes_canary("a component", bytes.fromhex(component))
    for generation in range(1, sign_ins + 1):
        keys = new_keys(SEED, TID, generation, SIGN_IN_DOUBLE_TRACK)
        named = {"MAC": keys.mak, "PIN": keys.pik, "track": keys.tdk or b""}
        for name, key in named.items():
            yield bytes_canary(f"the {name} key of sign-in {generation}", key)
        block = pin_block(keys.pik, PIN, CANARY)
        yield bytes_canary(f"a PIN block of sign-in {generation}", block)
        yield bytes_canary("a clear PIN block", decrypt(keys.pik, block))


class Life:
    """Sales of every kind, every trouble, kills, and everything that posd can be asked."""

    def __init__(self, house: Secretive, told: Told) -> None:
        self.house, self.told = house, told
        self.terminal = house.client()
        self.begin = "logon" if house.nac else "sign_in"

    async def do(self, what: str, amount: str = "", card: str = CANARY, **more: Any) -> dict[str, Any]:
        step = {"do": what, "card": card, "expiry": EXPIRY, **({"amount": amount} if amount else {}), **more}
        if self.house.nac:
            step.pop("pin", None)  # no PIN keys in this dialect
        result = dict(await self.terminal.do(step))
        self.told.seen.add(f"{what} {result['outcome']}")
        return result

    async def live(self) -> None:
        await self.last_month()
        await self.this_month()
        await nonsense(self.house, self.told)
        await at_the_till(self.house, self.told)
        await self.settles()
        await self.do("sale", "14.00")
        commands(self.house, self.told)
        assert await self.house.terminated() == 0
        await broken(self)
        await self.terminal.close()

    async def last_month(self) -> None:
        self.house.start(python=("-c", LAST_MONTH))
        await self.house.ready()
        await self.do(self.begin)
        await self.do("sale", "10.00", pin=PIN)
        await self.do("sale", "11.00", entry="051", pin=PIN)
        await self.do("offline_sale", "5.00", **({"approval": "123456"} if self.house.nac else {}))
        assert await self.house.terminated() == 0

    async def this_month(self) -> None:
        """Begins with the settlement of the last one."""
        self.house.start()
        await self.house.ready()
        await self.do(self.begin)
        await self.settles()
        await self.do(self.begin)  # the keys are new
        await self.do("sale", "12.00", entry="012")
        await self.do("sale", "13.00", card=OTHER_CARD)
        await self.do("refund", "4.00", rrn="123456789012", date="0102")
        await self.do("preauth", "20.00")
        sold = await self.do("sale", "15.00")
        await self.do("void", of_stan=sold["stan"])
        if self.house.nac:
            tipped = await self.do("sale", "16.00")
            await self.do("tip", of_stan=tipped["stan"], tip="1.00")
        else:
            await self.do("balance", pin=PIN)
        for number in range(1, 7):
            await self.do("sale", f"3{number}.00")
        for number in range(2):
            await self.killed(number)

    async def killed(self, number: int) -> None:
        """With a request on its way."""
        selling = asyncio.create_task(self.do("sale", "36.00", pin=PIN, entry="021" if number % 2 else "051"))
        await asyncio.sleep(0.15)
        self.house.kill()
        await selling
        self.house.start()
        await self.house.ready()
        await self.do(self.begin)
        await self.do("sale", f"{40 + number}.00")

    async def settles(self) -> None:
        closed = self._closed()
        await self.do("settle")
        async with asyncio.timeout(30):
            while self._closed() == closed:
                await asyncio.sleep(0.1)

    def _closed(self) -> int:
        return [row.kind for row in self.house.records()].count("batch_closed")


async def nonsense(house: Secretive, told: Told) -> None:
    """Bytes that are no messages, or none of ours, full of card data."""
    stranger = TerminalClient(Terminal("77777777", MID, None), "127.0.0.1", house.door_port, timeout_s=3.0)
    sale = {"do": "sale", "amount": "9.00", "card": CANARY, "expiry": EXPIRY}
    told.seen.add(f"stranger {(await stranger.do(sale))['outcome']}")
    await stranger.close()
    bcd = bytes.fromhex(CANARY + "D" + EXPIRY + TRACK_TAIL[:11] + "F")
    tpdu = bytes.fromhex("6000030000")
    envelope = tpdu + bytes.fromhex("603100310100")
    frames = [
        envelope + b"\x02\x00" + bcd * 3,
        envelope + bytes.fromhex("0200" + "7024048020C09811") + bcd * 2,
        envelope + f"{CANARY}={EXPIRY}{TRACK_TAIL}".encode(),
        tpdu + bytes.fromhex("0200" + "7024058020C08204") + bcd * 2,
        tpdu + f"{CANARY}={EXPIRY}{TRACK_TAIL}".encode(),
        bcd,
    ]
    for frame in frames:
        told.said["door"] = told.said.get("door", b"") + await asyncio.to_thread(_answer_to, house.door_port, frame)


def _answer_to(port: int, frame: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 2) as line, contextlib.suppress(OSError):
        line.sendall(len(frame).to_bytes(2, "big") + frame)
        line.settimeout(0.4)
        return line.recv(4096)
    return b""


async def at_the_till(house: Secretive, told: Told) -> None:
    till = Till(house.folder, 0)
    card = {"number": TYPED, "expiry": EXPIRY}
    bodies: list[Any] = [
        {"type": "sale", "amount": "6.00", "card": card},
        {"type": "sale", "amount": "6.00", "card": {**card, "cvv": CVV2}},
        {"type": "sale", "amount": TYPED, "card": card},
        {"type": TYPED, "amount": "6.00", "card": card, "track2": f"{TYPED}={EXPIRY}{TRACK_TAIL}"},
        {"type": "sale", "amount": "6.00", "card": {"number": TYPED + "0", "expiry": CVV2}},
        {"type": "refund", "amount": "1.00", "original": TYPED},
        f'{{"type": "sale", "card": {{"number": "{TYPED}"'.encode(),
        f"{TYPED}={EXPIRY}{TRACK_TAIL}".encode(),
    ]
    for number, body in enumerate(bodies):
        answer = await till.order(f"k-{number}", body)
        told.said["till"] = told.said.get("till", b"") + answer.body + repr(answer.headers).encode()
        if number == 0:
            told.seen.add(f"till {answer.json.get('status')}")
    answer = await till.order(TYPED, bodies[0])
    told.said["till"] += answer.body
    for path in (f"/v1/terminals/{TID}/transactions/{TYPED}", f"/v1/{TYPED}", f"/v1/terminals/{TYPED}/transactions"):
        told.said["till"] += (await till.ask("GET", path)).body


def commands(house: Secretive, told: Told) -> None:
    """Everything that shows something; and asked for a card number by mistake. Keys and months move meanwhile."""
    for number, component in enumerate(COMPONENTS):
        path = house.keys / f"component{number}"
        path.touch(mode=0o600)
        path.write_text(component)
    files = " ".join(f"--component-file {house.keys}/component{number} --by {name}" for number, name in enumerate("AB"))
    shown = [
        *(() if house.nac else (f"keys load --tid {TID} --index 1 {files} --json",)),
        "journal archive --by Li --json",
        "journal archives",
        "keys rotate --by Li",
        "keys list --json",
        "journal export",
        "journal show --json --limit 500",
        "journal show --limit 500",
        "journal verify",
        "txn list --json",
        "txn list",
        "status --json",
        "status",
        "reversals list --json",
        "advices list --json",
        "settle --show --json",
        "doctor --json",
        "check-config",
        "backup create --json",
        "backup verify --json",
        f"txn show {TYPED}",
        f"txn show {TID}/{CANARY}",
        f"journal show --rrn {CANARY}",
        f"reversals retry {CANARY}",
        f"decode {CANARY}",
        f"{CANARY}",
    ]
    names = re.findall(rf"{TID}/[0-9/a-z-]+", said_by(house, "txn", "list", "--json").decode())
    shown += [f"txn show {name}" for name in dict.fromkeys(names)]
    shown += [f"txn show {name} --json" for name in dict.fromkeys(names)]
    for words in shown:
        asked_for_a_card = any(pan in words for pan in (CANARY, TYPED))
        told.said[f"posd {words[:8] + '…' if asked_for_a_card else words}"] = said_by(house, *words.split())


def said_by(house: Secretive, *words: str) -> bytes:
    """One command in this process: what it prints, and its errors."""
    out = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(out),
    ):
        patch.setenv("POSD_CONFIG", str(house.config))
        patch.setenv("COLUMNS", "400")
        main(list(words))
    assert "Traceback" not in out.getvalue(), out.getvalue()
    return out.getvalue().encode()


async def broken(life: Life) -> None:
    """A fenced lane, a crash, and a signal that would write a core; all with cards in memory."""
    house, told = life.house, life.told
    for amount, ends in (("77.77", None), ("88.88", 3)):
        house.start(python=("-c", PLANTED))
        await house.ready()
        await life.do(life.begin)
        await life.do("sale", amount, pin=PIN)
        if ends is None:
            told.said["status of a fenced lane"] = said_by(house, "status", "--json") + said_by(house, "status")
            house.kill()
        else:
            assert await house.ended() == ends
    house.start(before=_allow_cores)
    await house.ready()
    selling = asyncio.create_task(life.do("sale", "36.00", pin=PIN))
    await asyncio.sleep(0.3)
    assert house.posd is not None
    house.posd.send_signal(signal.SIGABRT)
    await house.ended()
    await selling


def _allow_cores() -> None:
    if os.geteuid() == 0:
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
