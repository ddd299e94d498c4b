"""From settings to a daemon: what is refused before anything starts, in one line, and what a start leaves behind."""

import asyncio
import resource
from collections.abc import Callable

import pytest

from posd.addresses import parse_address
from posd.config import load, shipped
from posd.daemon import assemble as assembling
from posd.daemon.assemble import assemble
from posd.errors import ConfigError, StorageFailed
from posd.journal.sqlite import SqliteStore
from tests.daemon.stage import SECOND, TID, Stage, play, write_configuration

MakeStage = Callable[..., Stage]


def refused(stage: Stage, error: type[Exception] = ConfigError) -> str:
    """Why posd does not start with the stage's settings; one line, and the journal is free again."""
    with pytest.raises(error) as caught:
        assemble(load(write_configuration(stage.folder, stage.settings)))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def without(stage: Stage, tid: str) -> None:
    stage.settings["terminals"] = [one for one in stage.settings["terminals"] if one["tid"] != tid]
    stage.tids = tuple(other for other in stage.tids if other != tid)


def test_d35_a_terminal_is_not_configured_away_while_its_batch_is_open(staged: MakeStage) -> None:
    """D35."""

    async def story(stage: Stage) -> None:
        await stage.start()
        await stage.sale("1.00", SECOND)
        await stage.end()
        both = stage.settings["terminals"]
        without(stage, SECOND)
        said = refused(stage)
        assert f"terminal {SECOND}" in said
        assert "its batch is open with 1 transaction" in said
        stage.settings["terminals"], stage.tids = both, (TID, SECOND)
        await stage.start()
        await stage.terminal(SECOND).do({"do": "settle"})
        await stage.until(lambda: stage.state(SECOND).batch.identity == 2)
        await stage.end()
        without(stage, SECOND)
        await stage.start()
        assert (await stage.sale("2.00"))["outcome"] == "approved"

    play(staged(tids=(TID, SECOND)), story)


def test_d35_a_terminal_that_owes_a_reversal_is_not_configured_away(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        await stage.sale("1.00", SECOND)
        await stage.until(lambda: stage.received("0400", SECOND))
        await stage.end()
        without(stage, SECOND)
        assert "1 reversal(s) are owed" in refused(stage)

    faults = ({"mti": "0200", "do": "lose_answer"}, {"mti": "0400", "do": "lose_answer"})
    play(staged(tids=(TID, SECOND), faults=faults), story)


def test_the_forgotten_are_looked_for_once_however_many_terminals_there_are(
    staged: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    tids = tuple(f"2000000{number}" for number in range(9))
    calls = []
    real = SqliteStore.tids
    monkeypatch.setattr(SqliteStore, "tids", lambda self: calls.append(1) or real(self))

    async def story(stage: Stage) -> None:
        await stage.start()
        assert len(calls) == 1

    play(staged(tids=tids), story)


def test_a_folder_that_cannot_be_made_is_one_line(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        for name in ("state_dir", "control_socket"):
            before = stage.settings[name]
            stage.settings[name] = "/proc/posd/here"
            assert "cannot be made" in refused(stage)
            stage.settings[name] = before
        await stage.start()

    play(staged(), story)


def test_a_second_posd_is_told_the_first_ones_pid_and_does_no_harm(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        assert "another posd is running on it (pid " in refused(stage)
        assert (await stage.sale("1.00"))["outcome"] == "approved"

    play(staged(), story)


def test_a_start_that_fails_leaves_the_journal_to_the_next(staged: MakeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(stage: Stage) -> None:
        def broken(*arguments: object) -> None:
            raise StorageFailed("planted")

        with monkeypatch.context() as patch:
            patch.setattr(assembling, "recover", broken)
            assert refused(stage, StorageFailed) == "planted"
        await stage.start()

    play(staged(), story)


def test_each_tcp_door_has_room_for_its_terminals() -> None:
    settings = load(shipped("config/posd.example.yaml"))
    one = assembling._files_needed(settings)
    lines = [parse_address(text) for text in ("127.0.0.1:1", "127.0.0.1:2", "serial:///dev/ttyUSB0")]
    two = settings.model_copy(update={"door": settings.door.model_copy(update={"listen": tuple(lines)})})
    assert assembling._files_needed(two) == one + settings.door.connections_max


def test_more_connections_than_open_files_are_refused() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assembling._allow_files(soft)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 300), hard))
        assembling._allow_files(400)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 400
        if hard != resource.RLIM_INFINITY:
            with pytest.raises(ConfigError, match="LimitNOFILE"):
                assembling._allow_files(hard + 1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_assembling_alone_opens_no_port_and_sends_nothing(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        daemon = assemble(load(write_configuration(stage.folder, stage.settings)))
        await asyncio.sleep(0.05)
        assert not daemon.ready
        assert stage.said == [stage.said[0]]
        daemon._store.close()
        await stage.start()

    play(staged(), story)
