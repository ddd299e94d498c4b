"""SIGHUP in a whole posd: what counts at once, what is refused whole, what takes a restart; and no sale notices."""

import asyncio
import json
import os
import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posd.core import events as e
from posd.daemon.control.peer import Peer
from posd.daemon.control.server import ControlFailed, Request
from posd.daemon.control.verbs import Control
from posd.values import Tid
from simulators.host.web import Web, server_context
from tests.daemon.shop import EVERYTHING
from tests.daemon.stage import SECOND, TID, Stage, merged, play, write_configuration
from tests.daemon.test_daemon import Systemd
from tests.transport.pki import Pki

MakeStage = Callable[..., Stage]


async def reload(stage: Stage, **change: Any) -> dict[str, Any]:
    """Change the file, send the signal, and say what the journal then has of it."""
    before = len(stage.rig.records("settings_read"))
    stage.settings = merged(stage.settings, change)
    write_configuration(stage.folder, stage.settings)
    os.kill(os.getpid(), signal.SIGHUP)
    await stage.until(lambda: len(stage.rig.records("settings_read")) > before)
    return dict(json.loads(stage.rig.records("settings_read")[-1].payload))


async def status(stage: Stage) -> dict[str, Any]:
    async for reply in Control(stage.daemon, EVERYTHING).handle(Request("x", "status", {}, Peer(0))):
        return dict(reply.data)
    raise AssertionError


def codes(said: dict[str, Any]) -> set[str]:
    return {one["code"] for one in said["findings"]}


def test_numbers_and_times_count_at_once_and_the_rest_is_named(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        said = await reload(
            stage,
            log={"level": "debug"},
            settlement={"maximum": "1.00", "at": ["04:05"]},
            reversal={"attempts": 9},
            host={"connect_timeout_s": 0.4},
        )
        assert set(said["at_once"]) == {"log.level", "settlement.maximum", "settlement.at", "reversal.attempts"}
        assert said["restart"] == ["host.connect_timeout_s"]
        rules = stage.daemon.lanes[Tid(TID)].lane.engine.rules
        assert (rules.settle_maximum_minor, rules.reversal_attempts_max) == (100, 9)
        assert rules.connect_timeout_s == 0.5
        assert [str(at) for at in rules.due_times] == ["04:05:00"]
        assert stage.daemon._wakeups._times == [(4, 5, 0, "Asia/Shanghai")]
        found = await status(stage)
        assert found["posd"]["settings"] == {"refused": [], "restart_needed": ["host.connect_timeout_s"]}
        assert "settings_restart" in codes(found)
        assert (await stage.sale("2.00"))["outcome"] == "approved"
        await stage.daemon.lanes[Tid(TID)].command(e.SettleNow("x", "anna"))
        await stage.until(lambda: stage.state().settlement.held_minor == 200)
        said = await reload(stage, settlement={"maximum": "0.00"}, host={"connect_timeout_s": 0.5})
        assert (said["at_once"], said["restart"]) == (["settlement.maximum"], [])
        await stage.until(lambda: stage.state().batch.identity == 2)  # what held it is gone
        assert "settings_restart" not in codes(await status(stage))
        await stage.end()
        assert stage.differences() == []

    play(staged(), story)


IMPOSSIBLE: dict[str, tuple[dict[str, Any], str]] = {
    "a wrong value": ({"settlement": {"at": ["25:00"]}}, "settlement.at[0]: must be a time of day"),
    "a contradiction": ({"door": {"terminal_timeout_s": 0.6}}, "is not longer than host.connect_timeout_s"),
    "an unknown setting": ({"reversl": {}}, "unknown setting; did you mean 'reversal'?"),
    "a file that is not there": ({"machine_key_file": "/nowhere/key"}, "machine_key_file: machine key: /nowhere/key"),
}


@pytest.mark.parametrize(("change", "why"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_what_is_impossible_is_refused_whole_with_its_place(
    staged: MakeStage, change: dict[str, Any], why: str
) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        before = stage.daemon.settings
        said = await reload(stage, log={"level": "error"}, **change)
        assert (said["at_once"], said["restart"]) == ([], [])
        assert why in said["refused"]
        assert said["refused"].startswith(f"{stage.folder}/posd.yaml:")
        line, column = said["refused"].removeprefix(f"{stage.folder}/posd.yaml:").split(":")[:2]
        assert int(line) > 0
        assert int(column) > 0
        assert stage.daemon.settings is before
        assert said["refused"] in [one["because"] for one in stage.alerts("settings_refused")]
        found = await status(stage)
        assert not found["good"]
        assert found["posd"]["settings"]["refused"] == [said["refused"]]
        assert "settings_refused" in codes(found)
        assert (await stage.sale("1.00"))["outcome"] == "approved"
        await stage.end()
        assert stage.differences() == []

    play(staged(), story)


def test_who_may_do_what_counts_at_once(staged: MakeStage) -> None:
    """Somebody who must not approve any more is not kept until the next start."""

    async def story(stage: Stage) -> None:
        await stage.start()
        stranger = Peer(4_000_000_001)
        assert stage.daemon.control is not None
        ask = stage.daemon.control._handler

        async def approves() -> str:
            wish = Request("x", "settle.approve", {"tid": TID, "by": "Li", "reason": "r"}, stranger)
            with pytest.raises(ControlFailed) as refused:
                await anext(ask(wish))
            return str(refused.value)

        assert "no settlement is held" in await approves()
        said = await reload(stage, access={"approve": ["user:no-such-user"]}, approval={"two_people_above": "9.00"})
        assert set(said["at_once"]) == {"access.approve", "approval.two_people_above"}
        assert "needs the role 'approve'" in await approves()
        assert stage.daemon.lanes[Tid(TID)].lane.engine.rules.two_people_above_minor == 900
        assert [one["who"] for one in stage.alerts("access_unknown")] == ["user:no-such-user"]
        await stage.end()

    play(staged(), story)


def test_not_yaml_and_no_file_are_refused_and_a_good_file_is_taken_again(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        path = stage.folder / "posd.yaml"
        good = path.read_text()
        for number, (text, why) in enumerate(
            [("version: [1", "not YAML"), ("", "the file is empty"), (None, "no such")], 1
        ):
            path.unlink(missing_ok=True)
            if text is not None:
                path.write_text(text)
            os.kill(os.getpid(), signal.SIGHUP)
            await stage.until(lambda number=number: len(stage.rig.records("settings_read")) == number)
            assert why in json.loads(stage.rig.records("settings_read")[-1].payload)["refused"]
        path.write_text(good)
        assert (await reload(stage))["refused"] == ""
        assert codes(await status(stage)).isdisjoint({"settings_refused", "settings_restart"})
        await stage.end()

    play(staged(), story)


def test_d35_a_terminal_that_owes_is_not_removed_by_a_reload(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        assert (await stage.sale("1.00"))["outcome"] == "approved"
        both, only_second = stage.settings["terminals"], stage.settings["terminals"][1:]
        said = await reload(stage, terminals=only_second, log={"level": "error"})
        assert (
            f"terminals: terminal {TID} is not in the configuration any more, but its batch is open" in said["refused"]
        )
        assert (said["at_once"], stage.daemon.settings.log.level) == ([], "info")
        assert (await stage.sale("2.00"))["outcome"] == "approved"
        said = await reload(stage, terminals=both[:1])
        assert (said["refused"], said["restart"]) == ("", [f"terminals[{SECOND}]"]), "it owes nothing"
        assert (await stage.sale("3.00", SECOND))["outcome"] == "approved", "and is served until the restart"
        await stage.end()
        assert stage.differences() == []

    play(staged(tids=(TID, SECOND)), story)


def test_what_counts_at_once_only_with_what_does_not_waits_for_the_restart(staged: MakeStage) -> None:
    """A shorter patience of terminals needs the shorter limits of the host, which take a restart (D17)."""

    async def story(stage: Stage) -> None:
        await stage.start()
        said = await reload(stage, door={"terminal_timeout_s": 2}, host={"reply_timeout_s": 1})
        assert said["at_once"] == []
        assert said["restart"] == ["door.terminal_timeout_s", "host.reply_timeout_s"]
        assert stage.daemon.lanes[Tid(TID)].lane.engine.rules.terminal_timeout_s == 4
        await stage.end()

    play(staged(), story)


def test_a_storm_of_reloads_in_mid_sale_loses_nothing(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()

        async def storm() -> None:
            for number in range(20):
                write_configuration(stage.folder, merged(stage.settings, {"reversal": {"attempts": 1 + number % 9}}))
                os.kill(os.getpid(), signal.SIGHUP)
                await asyncio.sleep(0.01)

        storming = asyncio.create_task(storm())
        for _ in range(8):
            assert (await stage.sale("1.00"))["outcome"] == "approved"
        await storming
        await stage.terminal().do({"do": "settle"})
        await stage.until(lambda: stage.state().batch.identity == 2)
        await stage.end()
        assert stage.differences() == []

    play(staged(faults=({"mti": "0200", "do": "delay", "ms": 30},)), story)


def test_systemd_is_told_and_nothing_is_read_while_posd_stops(
    staged: MakeStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    systemd = Systemd(tmp_path, monkeypatch)

    async def story(stage: Stage) -> None:
        await stage.start()
        systemd.listen().clear()
        before_us = int(stage.daemon.clock.monotonic_s() * 1_000_000)
        await reload(stage)
        said = [line for line in systemd.listen() if not line.startswith(("WATCHDOG", "STATUS"))]
        assert (said[0], said[2]) == ("RELOADING=1", "READY=1")
        assert before_us <= int(said[1].removeprefix("MONOTONIC_USEC=")) <= stage.daemon.clock.monotonic_s() * 1_000_000
        stage.daemon.stop()
        os.kill(os.getpid(), signal.SIGHUP)
        await stage.life
        assert systemd.listen().count("RELOADING=1") == 1
        assert "settings_kept" in stage.events()

    play(staged(), story)
    systemd.socket.close()


def test_certificates_and_the_token_are_read_again(staged: MakeStage, tmp_path: Path) -> None:
    """The same names, other contents: the next handshake shows the new one, and so does the next request need it."""
    pki = Pki(tmp_path / "pki").make()
    shared = Pki.shared()
    for name in ("door.pem", "door.key"):
        (tmp_path / name).write_bytes(pki.file(name.replace("door", "host")).read_bytes())
    (tmp_path / "door.key").chmod(0o600)
    ca = tmp_path / "ca.pem"
    ca.write_bytes(pki.ca.read_bytes())
    web = Web(server_context(shared.file("host.pem"), shared.file("host.key"), None), frames=True)
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text("a" * 32)

    async def story(stage: Stage) -> None:
        stage.settings["host"]["address"] = f"tls://localhost:{stage.host_port}"
        stage.settings["door"]["listen"] = [stage.settings["door"]["listen"], f"tls://127.0.0.1:{DOOR}"]
        await stage.start(signed_in=False)
        await stage.until(lambda: "no authority that is trusted here" in stage.daemon.link_why)
        assert await shown_by_door() == pki.file("host.pem").read_text()
        ca.write_bytes(shared.ca.read_bytes())
        (tmp_path / "door.pem").write_bytes(shared.file("host.pem").read_bytes())
        (tmp_path / "door.key").write_bytes(shared.file("host.key").read_bytes())
        token.write_text("b" * 32)
        said = await reload(stage)
        assert (said["at_once"], said["restart"], said["refused"]) == ([], [], "")
        await stage.until(lambda: stage.state().session.signed_in)
        assert await shown_by_door() == shared.file("host.pem").read_text()
        assert (await stage.sale("1.00"))["outcome"] == "approved"
        assert [await answered(letter) for letter in "ab"] == [401, 200]
        (tmp_path / "door.key").write_bytes(pki.file("client.key").read_bytes())
        said = await reload(stage)
        assert "door.tls" in said["refused"]
        assert "cannot be used together" in said["refused"]
        assert await shown_by_door() == shared.file("host.pem").read_text()
        await stage.end()
        assert stage.differences() == []

    with socket.socket() as first, socket.socket() as second:
        for one in (first, second):
            one.bind(("127.0.0.1", 0))
        DOOR, TILL = first.getsockname()[1], second.getsockname()[1]

    async def shown_by_door() -> str:
        pem: str = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", DOOR))
        return pem

    async def answered(letter: str) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", TILL)
        writer.write(f"GET /v1/health HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {letter * 32}\r\n\r\n".encode())
        line = await reader.readline()
        writer.close()
        return int(line.split()[1])

    change = {
        "host": {"tls": {"ca_file": str(ca)}},
        "door": {"tls": {"certificate_file": str(tmp_path / "door.pem"), "key_file": str(tmp_path / "door.key")}},
        "till": {"listen": f"127.0.0.1:{TILL}", "token_file": str(token)},
    }
    play(staged(web=web, change=change), story)
