"""T12: card data and keys searched wherever posd could have left them, after days with every kind of trouble (P5).

One story with real processes, on a disk image of its own; then each place is searched for everything secret in it, in
every form in which it could lie there. The keys' own files lie outside, as the service's credentials do.
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
from posd.cli.demo.canary import Canary, bytes_canary, digits_canary, holds, search
from posd.security.datakeyfile import key_files, read_key_file
from posd.security.machine import load_machine_key
from posd.security.wrapping import Wrapping
from simulators.crypto import SIGN_IN_DOUBLE_TRACK, decrypt, new_keys, pin_block
from simulators.terminal.client import TerminalClient
from simulators.terminal.core import TRACK_TAIL, Terminal
from tests.daemon.stage import MID, TID, TMK
from tests.daemon.till.client import Till
from tests.system.house import CANARY, EXPIRY, House
from tests.system.image import Image, why_not

pytestmark = pytest.mark.system
SEED = 4711
PIN = "8642"
OTHER_CARD = "6225881234567890128"
"""Of no account at the host: declined."""
TYPED = "6225886666666666614"
CVV2 = "739184625"
"""Longer than a real one, so that it can be told from chance."""

FAULTS: tuple[dict[str, Any], ...] = (
    {"mti": "0200", "amount": "31.00", "do": "lose_answer"},
    {"mti": "0200", "amount": "32.00", "do": "wrong_mac"},
    {"mti": "0200", "amount": "33.00", "do": "garbage"},
    {"mti": "0200", "amount": "34.00", "do": "partial"},
    {"mti": "0200", "amount": "35.00", "do": "refuse", "code": "51"},
    {"mti": "0200", "amount": "36.00", "do": "delay", "ms": 900},
)

PLANTED = """
import sys
from posd.daemon.lane import Lane
from posd.errors import InvariantBroken
honest = Lane._answers
def broken(lane, draft):
    cards, requests = dict(lane._memory.cards), dict(lane._memory.requests)
    number = [card.number for card in cards.values()]
    for txn in draft.state.transactions.values():
        if txn.amount_minor == 7777 and number:
            raise InvariantBroken(f"planted: {number[0]} {cards} {requests}")
        if txn.amount_minor == 8888 and number:
            raise OSError(f"planted: {number} {list(requests.values())[0].fields}")
    return honest(lane, draft)
Lane._answers = broken
sys.argv = ["posd", *sys.argv[3:]]
from posd.__main__ import main
sys.exit(main())
"""
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


class Secretive(House):
    """Keys, host and terminals lie outside of the image."""

    @property
    def keys(self) -> Path:
        return self.outside / "keys"

    def open(self) -> None:
        self.keys.mkdir()
        self.change = {
            "till": {"socket": str(self.folder / "till.sock"), "card_data": "accepted"},
            "backup": {"path": str(self.folder / "backups"), "keys_to": str(self.folder / "key copies")},
            "log": {"format": "json", "level": "debug"},
        }
        for name in ("backups", "key copies"):
            (self.folder / name).mkdir()
        super().open()


def of_everything(house: Secretive, sign_ins: int) -> list[Canary]:
    """Whatever was secret in the story."""
    found = [digits_canary(f"card {pan[-4:]}", pan) for pan in (CANARY, OTHER_CARD, TYPED)]
    found += [digits_canary("a track's end", f"{EXPIRY}{TRACK_TAIL}"), digits_canary("a CVV", CVV2)]
    machine_key = load_machine_key(house.keys / "machine.key")
    found += [bytes_canary("the machine key", machine_key.secret), bytes_canary("the TMK", bytes.fromhex(TMK))]
    found += [bytes_canary(f"the {what} key", machine_key.derive(what)) for what in ("chain", "digest", "card")]
    wrapping = Wrapping("card", machine_key)
    for path in key_files(house.folder / "state" / "keys"):
        said = read_key_file(path)
        found.append(bytes_canary(f"data key {said.key_id}", wrapping.unwrap(bytes.fromhex(said.wrapped), said.what)))
    for generation in range(1, sign_ins + 1):
        keys = new_keys(SEED, TID, generation, SIGN_IN_DOUBLE_TRACK)
        named = {"MAC": keys.mak, "PIN": keys.pik, "track": keys.tdk or b""}
        found += [bytes_canary(f"the {name} key of sign-in {generation}", key) for name, key in named.items()]
        block = pin_block(keys.pik, PIN, CANARY)
        found.append(bytes_canary(f"a PIN block of sign-in {generation}", block))
        found.append(bytes_canary("a clear PIN block", decrypt(keys.pik, block)))
    return found


async def life(house: Secretive, told: Told) -> None:
    """Sales of every kind, every trouble, kills, and everything that posd can be asked."""
    house.start()
    await house.ready()
    terminal = TerminalClient(Terminal(TID, MID, bytes.fromhex(TMK)), "127.0.0.1", house.door_port, timeout_s=3.0)

    async def do(what: str, amount: str = "", card: str = CANARY, **more: Any) -> None:
        step = {"do": what, "card": card, "expiry": EXPIRY, **({"amount": amount} if amount else {}), **more}
        told.seen.add(f"{what} {(await terminal.do(step))['outcome']}")

    await do("sign_in")
    await do("sale", "10.00", pin=PIN)
    await do("sale", "11.00", entry="051", pin=PIN)
    await do("sale", "12.00", entry="012")
    await do("sale", "13.00", card=OTHER_CARD)
    await do("balance", pin=PIN)
    await do("refund", "4.00", rrn="123456789012", date="0102")
    await do("preauth", "20.00")
    await do("offline_sale", "5.00")
    for number in range(1, 7):
        await do("sale", f"3{number}.00")
    for number in range(2):  # killed with a request on its way
        selling = asyncio.create_task(do("sale", "36.00", pin=PIN, entry="021" if number % 2 else "051"))
        await asyncio.sleep(0.15)
        house.kill()
        await selling
        house.start()
        await house.ready()
        await do("sign_in")
        await do("sale", f"{40 + number}.00")
    await nonsense(house, told)
    await at_the_till(house, told)
    await do("settle")
    await house.settled()
    commands(house, told)
    assert await house.terminated() == 0
    await broken(house, told, terminal)
    await terminal.close()


async def nonsense(house: Secretive, told: Told) -> None:
    """Bytes that are no messages, or none of ours, full of card data."""
    stranger = TerminalClient(Terminal("77777777", MID, None), "127.0.0.1", house.door_port, timeout_s=3.0)
    sale = {"do": "sale", "amount": "9.00", "card": CANARY, "expiry": EXPIRY}
    told.seen.add(f"stranger {(await stranger.do(sale))['outcome']}")
    await stranger.close()
    bcd = bytes.fromhex(CANARY + "D" + EXPIRY + TRACK_TAIL[:11] + "F")
    envelope = bytes.fromhex("6000030000" + "603100310100")
    frames = [
        envelope + b"\x02\x00" + bcd * 3,
        envelope + bytes.fromhex("0200" + "7024048020C09811") + bcd * 2,
        envelope + f"{CANARY}={EXPIRY}{TRACK_TAIL}".encode(),
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
    answer = await till.order(TYPED, bodies[0])
    told.said["till"] += answer.body
    for path in (f"/v1/terminals/{TID}/transactions/{TYPED}", f"/v1/{TYPED}", f"/v1/terminals/{TYPED}/transactions"):
        told.said["till"] += (await till.ask("GET", path)).body


def commands(house: Secretive, told: Told) -> None:
    """Everything that shows something; and asked for a card number by mistake."""
    shown = [
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
        "backup create",
        f"txn show {TYPED}",
        f"txn show {TID}/{CANARY}",
        f"journal show --rrn {CANARY}",
        f"reversals retry {CANARY}",
        f"decode {CANARY}",
        f"{CANARY}",
    ]
    names = re.findall(rf"{TID}/[0-9/a-z-]+", _posd(house, "txn", "list", "--json").decode())
    shown += [f"txn show {name}" for name in dict.fromkeys(names)]
    shown += [f"txn show {name} --json" for name in dict.fromkeys(names)]
    for words in shown:
        told.said[f"posd {words}" if not any(pan in words for pan in (CANARY, TYPED)) else f"posd {words[:8]}…"] = (
            _posd(house, *words.split())
        )


def _posd(house: Secretive, *words: str) -> bytes:
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


async def broken(house: Secretive, told: Told, terminal: TerminalClient) -> None:
    """A fenced lane, a crash, and a signal that would write a core; all with cards in memory."""
    for amount, ends in (("77.77", None), ("88.88", 3)):
        house.start(python=("-c", PLANTED))
        await house.ready()
        await terminal.do({"do": "sign_in"})
        await terminal.do({"do": "sale", "amount": amount, "card": CANARY, "expiry": EXPIRY, "pin": PIN})
        if ends is None:
            told.said["status of a fenced lane"] = _posd(house, "status", "--json") + _posd(house, "status")
            house.kill()
        else:
            assert await house.ended() == ends
    house.start(before=_allow_cores)
    await house.ready()
    selling = asyncio.create_task(
        terminal.do({"do": "sale", "amount": "36.00", "card": CANARY, "expiry": EXPIRY, "pin": PIN})
    )
    await asyncio.sleep(0.3)
    assert house.posd is not None
    house.posd.send_signal(signal.SIGABRT)
    await house.ended()
    await selling


def _allow_cores() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    place = tmp_path_factory.mktemp("canary")
    image = None
    if not why_not():
        try:
            image = Image(place / "disk.img", place / "posd")
        except OSError:
            image = None
    folder, outside = place / "posd", place / "outside"
    folder.mkdir(exist_ok=True)
    outside.mkdir()
    house = Secretive(folder, outside, (TID,), faults=FAULTS, host_arguments=("--seed", str(SEED)))
    left = Told(folder, image, [])
    try:
        house.open()
        asyncio.run(asyncio.wait_for(life(house, left), 240))
        sign_ins = sum(row.kind == "signed_in" for row in house.records())
        left.secrets = of_everything(house, sign_ins + 2)
        assert house.chain_findings() == []
        house.close()
        yield left
    finally:
        house.close()
        if left.image is not None:
            left.image.unmount()


def test_p5_the_story_had_everything_in_it(told: Told) -> None:
    """Else a search that finds nothing would prove nothing."""
    assert {"sale approved", "sale declined", "balance approved", "refund approved", "preauth approved"} <= told.seen
    log = (told.folder / "log").read_text()
    assert "lane_fenced" in log
    assert "planted" in log
    assert "OSError" in log
    assert len(told.secrets) > 20
    assert len(told.said) > 20
    assert b"622588" in told.said["posd journal export"], "masked numbers are there"


def test_p5_no_file_of_posds_holds_a_secret(told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    """Database, WAL, anchor, ballast, wrapped keys and their copies, backups, log, standard error, sockets' folder."""
    names = {path.name for path in told.folder.rglob("*")}
    assert {"journal.db", "journal.db-wal", "anchor", "ballast", "log", "errors", "key copies"} <= names
    searched = search(told.folder, told.secrets)
    with capsys.disabled():
        print(f"\n  {len(told.secrets)} secrets, {searched.files} files, {searched.bytes // 1024} KiB: ", end="")
        print(f"{len(searched.findings)} hits")
    assert searched.findings == []


def test_p5_nothing_that_posd_says_holds_a_secret(told: Told) -> None:
    """Answers of the doors, exports, tables, error texts."""
    found = {(name, one.name): text for name, text in told.said.items() for one in told.secrets if holds(text, one)}
    assert found == {}


def test_p5_no_core_was_written(told: Told) -> None:
    assert [path.name for path in told.folder.rglob("core*")] == []


def test_p5_the_search_finds_what_is_planted(told: Told, tmp_path: Path) -> None:
    """The negative control: the same search finds each secret in each of its forms, amid other bytes."""
    missed = []
    for secret in told.secrets:
        for form in secret.forms:
            (tmp_path / "planted").write_bytes(os.urandom(100) + form + os.urandom(100))
            if search(tmp_path, [secret]).findings != [f"{secret.name} stands in planted"]:
                missed.append((secret.name, form))
    assert missed == []
    assert len({len(secret.forms) for secret in told.secrets}) > 1


def test_p5_no_block_of_the_disk_holds_a_secret(told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    """The raw image: what was deleted, and the file system's own journal, too. Last, as it takes the disk away."""
    if told.image is None:
        pytest.skip(why_not() or "this kernel mounts no image: no loop devices")
    planted = told.folder / "deleted"
    planted.write_bytes(b"a secret that was deleted: " + b"6225889999999999918")
    with planted.open("rb") as file:
        os.fsync(file.fileno())
    planted.unlink()
    told.image.unmount()
    blocks, told.image = told.image.written(), None
    found = [secret.name for secret in told.secrets if holds(blocks, secret)]
    with capsys.disabled():
        print(f"\n  {len(told.secrets)} secrets, {len(blocks) // 1024} KiB of written blocks: {len(found)} hits")
    assert found == []
    assert holds(blocks, digits_canary("planted and deleted", "6225889999999999918")), "the search sees deleted files"
