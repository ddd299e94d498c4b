"""The measurements, one function each: what they start they end, and each says its own figures."""

import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from posd.journal.reader import JournalReader
from posd.journal.verify import verify
from posd.security.machine import load_machine_key
from simulators.bench import stage
from simulators.bench.disk import syncs_per_second
from simulators.bench.figures import BenchTrouble
from simulators.bench.load import SALES_PER_TERMINAL, Load, Member, Pass, Pool, sign_in
from simulators.bench.past import write_past
from simulators.bench.process_facts import CpuTime, cpu_of, resident_of, syncs_by_file
from simulators.bench.sampled import FORGET
from simulators.terminal.client import TerminalClient
from simulators.terminal.core import Terminal

SALES_PER_SECOND_MAX = 8000
"""More than the load is expected to make: terminal ids and prepared frames are reckoned from it."""
SPARE_IDS = 4
DISK_S = 0.5
TRACE_S_MAX = 1.5
PAST_TERMINALS = 8
UPLOAD_ITEMS = 950
UPLOAD_S_MAX = 120.0
POLL_S = 0.05
TRACE_END_S_MAX = 5.0
WAL_SUFFIX = "-wal"

Say = Callable[[str], None]


@dataclass(slots=True)
class SideBySide:
    """One number of terminals: both ways in alternation, and what posd used meanwhile."""

    terminals: int
    straight: Pass
    posd: Pass
    cpu: CpuTime
    host_straight_cpu_s: float
    host_posd_cpu_s: float
    resident: int
    ready_s: float
    disk_per_s: float
    journal_bytes: float
    syncs: Counter[str] = field(default_factory=Counter)
    synced_sales: int = 0

    @property
    def cpu_us(self) -> float:
        """CPU time of posd for each transaction, microseconds."""
        return self.cpu.process_s / len(self.posd.took_ns) * 1e6

    @property
    def loop_us(self) -> float:
        """The share of it that the event loop's thread took."""
        return self.cpu.main_thread_s / len(self.posd.took_ns) * 1e6

    @property
    def journal_syncs(self) -> float | None:
        """fdatasync calls for each transaction, without the anchor's own; None: not counted."""
        return self._syncs(lambda name: name != "anchor")

    @property
    def anchor_syncs(self) -> float | None:
        """The anchor's own, for each transaction."""
        return self._syncs(lambda name: name == "anchor")

    def _syncs(self, wanted: Callable[[str], bool]) -> float | None:
        counted = sum(times for name, times in self.syncs.items() if wanted(name))
        return counted / self.synced_sales if self.synced_sales else None


def ids(first: str, count: int) -> list[str]:
    """Terminal ids that begin with one digit."""
    return [f"{first}{number:07d}" for number in range(count)]


def ids_needed(terminals: int, seconds: float) -> int:
    """One for each connection, and enough fresh ones for as many sales as there could be."""
    return terminals + SPARE_IDS + int(seconds * SALES_PER_SECOND_MAX / SALES_PER_TERMINAL)


async def side_by_side(folder: Path, terminals: int, seconds: float, rounds: int, mac: str, say: Say) -> SideBySide:
    """`rounds` times straight to the simulator and through posd, `seconds` each."""
    folder.mkdir()
    needed = ids_needed(terminals, seconds * rounds + TRACE_S_MAX)
    straight_ids, posd_ids = ids("1", needed), ids("2", needed)
    with stage.host(folder, [*straight_ids, *posd_ids]) as host:
        place = stage.posd_place(folder / "posd", posd_ids, host.port, terminals + SPARE_IDS, mac)
        with stage.posd(place) as posd:
            measured = await _alternate(folder, host, posd, (straight_ids, posd_ids), terminals, seconds, rounds, mac)
        sales = len(measured.posd.took_ns) + needed  # each id made one sale before the clock started
        measured.journal_bytes = (place.journal / "journal.db").stat().st_size / sales
        say(f"{terminals} terminals: counting syncs")
        traced_s = min(TRACE_S_MAX, seconds)
        measured.syncs, measured.synced_sales = await _traced(place, posd_ids, terminals, mac, traced_s)
    return measured


async def _alternate(
    folder: Path,
    host: stage.Host,
    posd: stage.Posd,
    tids: tuple[list[str], list[str]],
    terminals: int,
    seconds: float,
    rounds: int,
    mac: str,
) -> SideBySide:
    straight, through = Load(host.port), Load(posd.place.port)
    expected = int(seconds * SALES_PER_SECOND_MAX)
    try:
        await straight.connect(Pool(iter(await sign_in(host.port, tids[0], mac=True))), terminals)
        await through.connect(Pool(iter(await sign_in(posd.place.port, tids[1], mac=mac == "required"))), terminals)
        result = SideBySide(
            terminals, Pass(0, ()), Pass(0, ()), CpuTime(0, 0), 0, 0, 0, posd.ready_s,
            syncs_per_second(folder, DISK_S), 0,
        )  # fmt: skip
        for _ in range(rounds):
            straight.prepare(expected)
            host_before = cpu_of(host.child.pid)
            result.straight = result.straight.joined(await straight.run(seconds))
            result.host_straight_cpu_s += cpu_of(host.child.pid).since(host_before).process_s
            through.prepare(expected // 2)
            host_before, before = cpu_of(host.child.pid), cpu_of(posd.child.pid)
            result.posd = result.posd.joined(await through.run(seconds))
            used = cpu_of(posd.child.pid).since(before)
            result.cpu = CpuTime(result.cpu.process_s + used.process_s, result.cpu.main_thread_s + used.main_thread_s)
            result.host_posd_cpu_s += cpu_of(host.child.pid).since(host_before).process_s
            result.resident = max(result.resident, resident_of(posd.child.pid))
        return result
    finally:
        straight.close()
        through.close()


async def _traced(
    place: stage.PosdPlace, tids: list[str], terminals: int, mac: str, seconds: float
) -> tuple[Counter[str], int]:
    """Syncs by file in a short pass of a posd of its own under strace; nothing where strace is not installed."""
    strace = shutil.which("strace")
    if strace is None:
        return Counter(), 0
    trace = place.folder / "syncs.txt"
    options = ["-D", "-f", "-qq", "-ttt", "-y", "--seccomp-bpf", "-e", "trace=fdatasync,fsync", "-o", str(trace)]
    fresh = stage.posd_place(place.folder.with_name("traced"), tids, _host_port(place), terminals + SPARE_IDS, mac)
    load = Load(fresh.port)
    try:
        with stage.posd(fresh, [strace, *options, *stage.posd_command(fresh)]):
            members = await sign_in(fresh.port, tids[:terminals], mac=mac == "required")
            await load.connect(Pool(iter(_moved_on(members))), terminals)
            begun = time.time()
            done = await load.run(seconds)
            ended = time.time()
    finally:
        load.close()
    _wait_for_tracer(trace)
    return syncs_by_file(trace.read_text(), begun, ended), len(done.took_ns)


def _host_port(place: stage.PosdPlace) -> int:
    line = next(line for line in place.config.read_text().splitlines() if "address:" in line)
    return int(line.rpartition(":")[2])


def _moved_on(members: list[Member]) -> list[Member]:
    """The simulator knows the first trace numbers of these terminals from the posd before: go past them."""
    for member in members:
        member.terminal.stan += SALES_PER_TERMINAL
    return members


def _wait_for_tracer(trace: Path) -> None:
    """strace runs beside posd and ends a moment after it: until its file grows no more."""
    until, size = time.monotonic() + TRACE_END_S_MAX, -1
    while time.monotonic() < until and trace.stat().st_size != size:
        size = trace.stat().st_size
        time.sleep(4 * POLL_S)


# --- starts ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Starts:
    """exec -> READY: the wall and the CPU seconds of each start."""

    wall_s: tuple[float, ...]
    cpu_s: tuple[float, ...]


def starts(place: stage.PosdPlace, times: int) -> Starts:
    """Each after a SIGKILL; one start before them is not counted: it compiles and makes the folders."""
    took = []
    stage.launch(place).child.kill()
    for _ in range(times):
        running = stage.launch(place)
        took.append((running.ready_s, running.ready_cpu_s))
        running.child.kill()
    wall_s, cpu_s = zip(*took, strict=True)
    return Starts(wall_s, cpu_s)


@dataclass(frozen=True, slots=True)
class Past:
    """A restart after so many transactions, and what verifying them took."""

    transactions: int
    starts: Starts
    rows: int
    verify_s: float
    verify_cpu_s: float
    bytes_each: float


def restart(folder: Path, transactions: int, times: int, say: Say) -> Past:
    """Write a journal of so many transactions, verify it, start posd on it. BenchTrouble when it is not intact."""
    tids = ids("3", PAST_TERMINALS)
    place = stage.posd_place(folder, tids, stage.free_port(), SPARE_IDS)
    write_past(place, tids, transactions, lambda done: say(f"writing the past: {done} of {transactions}"))
    size = (place.journal / "journal.db").stat().st_size
    say(f"verifying {size >> 20} MB")
    begun, begun_cpu = time.perf_counter(), time.process_time()
    report = verify(place.journal, load_machine_key(place.machine_key).derive("chain"))
    verify_s, verify_cpu_s = time.perf_counter() - begun, time.process_time() - begun_cpu
    if not report.intact:
        raise BenchTrouble(f"the journal that was written does not verify: {report.findings[0]}")
    return Past(transactions, starts(place, times), report.rows, verify_s, verify_cpu_s, size / transactions)


# --- upload ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Upload:
    """An unbalanced settlement: times by posd's own records."""

    items: int
    upload_s: float
    close_s: float


async def upload(folder: Path, items: int, say: Say) -> Upload:
    """Sales in both groups (each below the marks of D22), then the terminal's own close makes posd's due (D25)."""
    folder.mkdir()
    tid = ids("4", 1)[0]
    with stage.host(folder, [tid]) as host:
        place = stage.posd_place(folder / "posd", [tid], host.port, SPARE_IDS)
        with stage.posd(place):
            client = TerminalClient(Terminal(tid, stage.MID), "127.0.0.1", place.port)
            try:
                say(f"upload: {items} sales first")
                await sign_in(place.port, [tid], mac=False)
                client.terminal.stan += 1
                await _sales(client, items - 1)
                await client.do({"do": "totals"})
                return _closed(place, tid, items)
            finally:
                await client.close()


async def _sales(client: TerminalClient, count: int) -> None:
    for number in range(count):
        pan = stage.FOREIGN_PAN if number % 2 == 0 else stage.DOMESTIC_PAN
        step = {"do": "sale", "amount": "1.00", "card": pan, "expiry": stage.EXPIRY}
        result = await client.do(step)
        if result["outcome"] != "approved":
            raise BenchTrouble(f"sale {number} before the upload: {result['outcome']} {result['code']}")


def _closed(place: stage.PosdPlace, tid: str, items: int) -> Upload:
    """Wait for the close; read posd's own times of it."""
    until = time.monotonic() + UPLOAD_S_MAX
    while time.monotonic() < until:
        time.sleep(POLL_S)
        with JournalReader(place.journal) as journal:
            if not any(journal.records(tid=tid, kind="batch_closed")):
                continue
            first = next(journal.records(tid=tid, kind="settlement_begun")).at_ms
            sent = next(journal.records(tid=tid, kind="upload_sent")).at_ms
            trailer = next(journal.records(tid=tid, kind="trailer_sent")).at_ms
            closed = next(journal.records(tid=tid, kind="batch_closed")).at_ms
            messages = sum(1 for _ in journal.records(tid=tid, kind="upload_acknowledged"))
            if messages != -(-items // 8):
                raise BenchTrouble(f"{items} items went in {messages} messages")
            return Upload(items, (trailer - sent) / 1000, (closed - first) / 1000)
    raise BenchTrouble(f"the batch was not closed within {UPLOAD_S_MAX:.0f} s")


# --- profile -----------------------------------------------------------------------------------------------------


async def sampled(folder: Path, terminals: int, seconds: float, mac: str) -> tuple[Path, Pass]:
    """posd under the sampler for one pass; the file of the samples."""
    folder.mkdir()
    tids = ids("5", ids_needed(terminals, seconds))
    out = folder / "samples.json"
    with stage.host(folder, tids) as host:
        place = stage.posd_place(folder / "posd", tids, host.port, terminals + SPARE_IDS, mac)
        run = [sys.executable, "-m", "simulators.bench.sampled", str(out), "--", "run", "--config", str(place.config)]
        with stage.posd(place, run) as posd:
            load = Load(posd.place.port)
            try:
                await load.connect(Pool(iter(await sign_in(place.port, tids, mac=mac == "required"))), terminals)
                load.prepare(int(seconds * SALES_PER_SECOND_MAX) // 2)
                posd.child.process.send_signal(FORGET)  # the start is none of its business
                done = await load.run(seconds)
            finally:
                load.close()
    return out, done
