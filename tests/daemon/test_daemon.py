"""The daemon's life: ready, alive, told to stop, broken; the schedule; the disk that fills."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from posd.config import load
from posd.core import events as e
from posd.daemon.assemble import assemble
from posd.daemon.clock import SystemClock
from posd.daemon.daemon import Broken
from posd.errors import ConfigError, StorageFailed
from posd.values import Now, Tid
from tests.daemon.stage import CARD, EXPIRY, SECOND, TID, Stage, play

MakeStage = Callable[..., Stage]


class Systemd:
    """NOTIFY_SOCKET, as far as a test hears it."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, watchdog_us: int = 200_000) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind(str(folder / "notify"))
        patch.setenv("NOTIFY_SOCKET", str(folder / "notify"))
        patch.setenv("WATCHDOG_USEC", str(watchdog_us))
        self.heard: list[str] = []

    def listen(self) -> list[str]:
        try:
            while True:
                self.heard += self.socket.recv(4096).decode().splitlines()
        except BlockingIOError:
            return self.heard


def test_ready_alive_and_stopping_are_said_and_sigterm_ends_it(
    staged: MakeStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    systemd = Systemd(tmp_path, monkeypatch)

    async def story(stage: Stage) -> None:
        await stage.start()
        assert systemd.listen()[0] == "READY=1"
        await stage.until(lambda: systemd.listen().count("WATCHDOG=1") >= 2)
        await stage.until(lambda: "STATUS=line up, 1 of 1 terminals signed in, 0 reversals owed" in systemd.listen())
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(5):
            await stage.life
        assert "STOPPING=1" in systemd.listen()

    play(staged(), story)
    systemd.socket.close()


def test_a_long_start_asks_for_time_as_it_goes_on(
    staged: MakeStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an upgrade the whole journal may have to be folded anew (D33): systemd must not end that each time."""
    systemd = Systemd(tmp_path, monkeypatch)
    extended = "EXTEND_TIMEOUT_USEC=60000000"

    async def story(stage: Stage) -> None:
        await stage.start()
        for _ in range(3):
            await stage.sale("1.00")
        await stage.end()
        assert extended not in systemd.listen()
        systemd.heard.clear()
        monkeypatch.setattr("posd.journal.sqlite.REPLAY_ROWS", 5)
        monkeypatch.setattr("posd.daemon.recover.FOLD_VERSION", 1_000_000)
        path = stage.folder / "posd.yaml"
        daemon = assemble(load(path), path)
        before_ready = list(systemd.listen())
        assert before_ready.count(extended) >= 2
        assert set(before_ready) == {extended, "STATUS=reading the journal"}
        life = asyncio.create_task(daemon.live())
        await stage.until(lambda: daemon.ready)
        daemon.stop()
        await life
        assert extended not in systemd.listen()[len(before_ready) :]

    play(staged(), story)
    systemd.socket.close()


def test_a_lane_that_hangs_is_not_reported_alive(
    staged: MakeStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    systemd = Systemd(tmp_path, monkeypatch)

    async def story(stage: Stage) -> None:
        await stage.start()
        await stage.until(lambda: "WATCHDOG=1" in systemd.listen())
        hang = asyncio.Event()
        runner = stage.daemon.lanes[Tid(SECOND)]

        async def hanging(item: object) -> None:
            await hang.wait()

        monkeypatch.setattr(runner, "_live_through", hanging)
        await asyncio.sleep(0.25)
        before = systemd.listen().count("WATCHDOG=1")
        await asyncio.sleep(0.3)
        assert systemd.listen().count("WATCHDOG=1") == before
        hang.set()
        await stage.until(lambda: systemd.listen().count("WATCHDOG=1") > before)

    play(staged(tids=(TID, SECOND)), story)
    systemd.socket.close()


def test_a_sale_under_way_is_finished_before_the_end_and_a_new_one_is_not_begun(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        sale = asyncio.create_task(stage.sale("1.00"))
        await stage.terminal(SECOND).do({"do": "echo"})
        await stage.until(lambda: stage.received("0200"))
        stage.daemon.stop()
        await asyncio.sleep(0.02)
        assert (await stage.sale("2.00", SECOND))["code"] == "91"
        assert (await sale)["outcome"] == "approved"
        async with asyncio.timeout(5):
            await stage.life
        assert stage.received("0200", SECOND) == []
        assert stage.differences() == []

    play(staged(tids=(TID, SECOND), faults=({"mti": "0200", "do": "delay", "ms": 300},)), story)


def test_a_drain_that_takes_too_long_ends_and_the_next_start_reverses(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        sale = asyncio.create_task(stage.sale("1.00"))
        await stage.until(lambda: stage.received("0200"))
        stage.daemon.stop()
        assert (await sale)["outcome"] == "line_cut"
        await stage.life
        await stage.start()
        await stage.until(lambda: stage.received("0400") and not stage.state().unended_reversals())
        await stage.end()
        assert stage.differences() == []

    late = {"mti": "0200", "nth": 1, "do": "delay", "ms": 900}
    change = {"drain_timeout_s": 0.1, "host": {"reply_timeout_s": 2}, "door": {"terminal_timeout_s": 5}}
    play(staged(faults=(late,), change=change), story)


def test_a_disk_that_fails_while_draining_is_said(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        sale = asyncio.create_task(stage.sale("1.00"))
        await stage.until(lambda: stage.received("0200"))
        stage.rig.fail_next()
        stage.daemon.stop()
        with pytest.raises(StorageFailed):
            await stage.life
        await sale

    play(staged(faults=({"mti": "0200", "do": "delay", "ms": 200},)), story)


def test_a_bug_where_nobody_waits_for_it_ends_the_process(staged: MakeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The listeners of line and door run in tasks of their own: their errors come by the loop's handler."""

    async def story(stage: Stage) -> None:
        await stage.start()

        def broken(frame: bytes) -> None:
            raise KeyError("planted")

        monkeypatch.setattr(stage.daemon._link.listener, "frame", broken)
        asking = asyncio.create_task(stage.sale("1.00"))
        with pytest.raises(Broken, match="KeyError"):
            await stage.life
        await asking

    play(staged(), story, may_say=frozenset({"broken"}))


def test_a_bug_in_a_task_of_the_daemon_ends_the_process(staged: MakeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()

        def broken() -> None:
            raise ZeroDivisionError("planted")

        monkeypatch.setattr(stage.daemon, "_look_for_room", broken)
        monkeypatch.setattr("posd.daemon.daemon.HEART_S", 0.01)
        stage.daemon.lanes[Tid(TID)]._wake.set()
        task = asyncio.create_task(stage.daemon._beat())
        with pytest.raises(ZeroDivisionError):
            await task

    play(staged(), story, may_say=frozenset({"broken"}))


def test_too_many_connections_do_not_end_the_process(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        loop = asyncio.get_running_loop()
        error = OSError(24, "Too many open files")
        loop.call_exception_handler({"message": "socket.accept() out of system resource", "exception": error})
        assert (await stage.sale("1.00"))["outcome"] == "approved"
        assert not stage.life.done()

    play(staged(), story)


def test_a_used_port_is_one_line_and_leaves_the_journal_free(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        with socket.socket() as holder:
            holder.bind(("127.0.0.1", stage.door_port))
            holder.listen()
            with pytest.raises(ConfigError, match="address already in use"):
                await stage.start()
        await stage.start()
        assert (await stage.sale("1.00"))["outcome"] == "approved"

    play(staged(), story)


def test_a_line_that_flaps_loses_nothing(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        outcomes = set()
        for number in range(12):
            stage.cut()
            await asyncio.sleep(0.01 * (number % 5))
            outcomes.add((await stage.sale("1.00"))["code"])
        assert outcomes <= {"00", "91", "98"}
        await stage.until(lambda: stage.daemon.link_up and not stage.state().unended_reversals())
        await stage.until(lambda: stage.state().exchange is None)
        assert (await stage.sale("2.00"))["outcome"] == "approved"
        await stage.end()
        assert stage.differences() == []

    play(staged(), story)


def test_d17_without_a_line_a_sale_is_not_sent_and_soon_told(staged: MakeStage) -> None:
    """D17: less than the terminal's patience; nothing is owed."""

    async def story(stage: Stage) -> None:
        await stage.start()
        stage.hang_up()
        await stage.until(lambda: not stage.daemon.link_up)
        began = asyncio.get_running_loop().time()
        assert (await stage.sale("1.00"))["code"] == "91"
        assert asyncio.get_running_loop().time() - began < 2
        assert stage.state().transactions == {}
        assert stage.state().unended_reversals() == []

    play(staged(), story)


def test_d32_a_disk_that_is_nearly_full_refuses_sales_only(staged: MakeStage) -> None:
    """D32."""

    async def story(stage: Stage) -> None:
        await stage.start()
        terminal = stage.terminal()
        await stage.sale("1.00")
        await stage.sale("2.07")
        await stage.end()
        stage.settings["journal"]["free_bytes_min"] = 10**17
        await stage.start()
        assert stage.daemon.troubles[0] == "disk_nearly_full"
        assert (await stage.sale("3.00"))["code"] == "96"
        assert (await terminal.do({"do": "repeat", "stan": 1}))["outcome"] == "approved"
        assert (await terminal.do({"do": "void", "of_stan": 1}))["outcome"] == "approved"
        await stage.until(lambda: not stage.state().unended_reversals())
        done = await stage.daemon.lanes[Tid(TID)].command(e.SettleNow("x", "anna"))
        assert done.ok
        await stage.until(lambda: stage.state().batch.identity == 2)
        await stage.end()
        assert stage.differences() == []

    play(staged(faults=({"mti": "0200", "amount": "*07", "do": "lose_answer"},)), story)


def test_d24_a_clock_that_nothing_keeps_in_step_is_alerted_and_settles_all_the_same(
    staged: MakeStage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """D24: only the host's own time keeps a settlement from beginning."""
    in_step = [False]
    monkeypatch.setattr("posd.daemon.daemon.synchronised", lambda: in_step[0])
    monkeypatch.setattr("posd.daemon.daemon.HEART_S", 0.05)

    async def story(stage: Stage) -> None:
        await stage.start()
        assert stage.daemon.troubles == ["clock_unsynchronised"]
        await stage.sale("1.00")
        assert (await stage.daemon.lanes[Tid(TID)].command(e.SettleNow("x", "anna"))).ok
        await stage.until(lambda: stage.state().batch.identity == 2)
        in_step[0] = True
        await stage.until(lambda: stage.daemon.troubles == [])
        await stage.end()

    play(staged(), story)
    assert capsys.readouterr().out.count("clock_unsynchronised") == 1


def test_d18_a_settlement_that_is_due_begins_by_itself(staged: MakeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock passes the due time; one wake-up and the batch closes, once."""

    ahead_ms = [0]
    now = SystemClock.now

    def moved(self: SystemClock) -> Now:
        at = now(self)
        return Now(at.wall_ms + ahead_ms[0], at.monotonic_s)

    monkeypatch.setattr(SystemClock, "now", moved)

    async def story(stage: Stage) -> None:
        stage.host._now_ms = lambda: SystemClock().now().wall_ms
        await stage.start()
        await stage.sale("1.00")
        ahead_ms[0] = 24 * 3600 * 1000
        for _ in range(3):
            stage.daemon._wake()
        await stage.until(lambda: stage.state().batch.identity == 2)
        await stage.until(lambda: stage.state().session.signed_in)
        for _ in range(3):
            stage.daemon._wake()
        await asyncio.sleep(0.05)
        assert stage.state().batch.identity == 2
        assert len(stage.received("0500")) == 1
        await stage.end()
        assert stage.differences() == []

    play(staged(), story)


def test_idle_beats_write_nothing(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        terminal = stage.terminal()
        await terminal.do({"do": "balance", "card": CARD, "expiry": EXPIRY})
        await stage.until(lambda: stage.daemon.lanes[Tid(TID)].resting)
        writes = stage.rig.writes
        for _ in range(20):
            stage.daemon._wake()
            await asyncio.sleep(0.002)
        assert stage.rig.writes == writes

    play(staged(), story)
