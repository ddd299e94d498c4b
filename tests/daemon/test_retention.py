"""The end of card numbers through the whole daemon: recorded, then destroyed wherever the keys were kept (D29)."""

import contextlib
import errno
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from posd.cli.backup.standing import ended_batches
from posd.cli.txn import show_command
from posd.core import events as e
from posd.core.answers import AnswerFacts
from posd.core.state import State
from posd.daemon.retention import DAY_MS, YEAR_IN_DOUBT_MS, vouched_ms
from posd.errors import KeyTrouble
from posd.journal.chain import Chain
from posd.journal.opening import open_store
from posd.journal.reader import JournalReader
from posd.journal.sqlite import SqliteStore
from posd.security.datakeyfile import Belongs, by_batch, read_key_file
from posd.security.keycopies import keep_copies
from posd.security.machine import load_machine_key
from posd.security.vault import DataKeys
from posd.values import Now, Tid
from tests.daemon.stage import SECOND, TID, Stage, merged, play
from tests.daemon.till.client import with_till

MakeStage = Callable[..., Stage]
KEPT_DAYS = 180


def keys_of(stage: Stage) -> Path:
    return stage.folder / "state" / "keys"


def copies_of(stage: Stage) -> Path:
    return stage.folder / "copies"


def with_copies(stage: Stage) -> Stage:
    copies_of(stage).mkdir()
    stage.change = merged(
        stage.change, {"backup": {"path": str(stage.folder / "backups"), "keys_to": str(copies_of(stage))}}
    )
    return stage


def copy_keys(stage: Stage) -> None:
    for path in keys_of(stage).glob("*.key"):
        shutil.copy2(path, copies_of(stage))


async def settled(stage: Stage, tid: str = TID) -> None:
    before = stage.state(tid).batch.identity
    done = await stage.daemon.lanes[Tid(tid)].command(e.SettleNow(f"settle-{before}", "Li Wei"))
    assert done.ok, done.text
    await stage.until(lambda: stage.state(tid).batch.identity > before and stage.state(tid).session.signed_in)


def later(stage: Stage, days: float = KEPT_DAYS + 1) -> None:
    """From now on somebody vouches for so many days later."""
    assert stage.daemon.retention is not None
    at_ms = stage.daemon.clock.now().wall_ms + round(days * DAY_MS)
    stage.daemon.retention._vouched_ms = lambda: at_ms


async def look(stage: Stage) -> None:
    assert stage.daemon.retention is not None
    await stage.until(lambda: all(runner.resting for runner in stage.daemon.lanes.values()))
    await stage.daemon.retention.look()
    await stage.until(lambda: all(runner.resting for runner in stage.daemon.lanes.values()))


def kinds(stage: Stage) -> list[str]:
    return [row.kind for row in stage.rig.records() if row.kind.startswith("numbers_")]


def opened(stage: Stage, journal: Path, keys: Path) -> SqliteStore:
    key = load_machine_key(stage.folder / "machine.key")
    chain, digest = key.derive("chain"), key.derive("digest")
    return open_store(journal, chain, digest, DataKeys(keys, key), ballast_bytes=0, free_bytes_min=0)


def shown(stage: Stage, request_id: str) -> str:
    """What `posd txn show` says of the card number."""
    said, path = [io.StringIO(), io.StringIO()], stage.folder / "posd.yaml"
    for out, as_json in zip(said, (True, False), strict=True):
        with contextlib.redirect_stdout(out):
            assert show_command(path, request_id, as_json, utc=True) == 0
    state = str(json.loads(said[0].getvalue())["card_number"]["state"])
    assert re.search(rf"^card number +{state}", said[1].getvalue(), re.MULTILINE)
    return state


async def sold_and_settled(stage: Stage) -> tuple[str, str]:
    """A sale of a closed batch, and one of the open one."""
    await stage.start()
    await stage.sale("10.00")
    await settled(stage)
    await stage.sale("20.00")
    (old,), (new,) = stage.state().closed, stage.state().transactions
    return old, new


def ended_of(stage: Stage) -> Callable[[Belongs], bool]:
    chain = Chain(load_machine_key(stage.folder / "machine.key").derive("chain"))
    return ended_batches(stage.folder / "state" / "journal", chain)


def test_d29_past_its_time_a_batchs_key_is_gone_everywhere(staged: MakeStage, tmp_path: Path) -> None:
    backup = tmp_path / "backup"

    async def story(stage: Stage) -> None:
        old, new = await sold_and_settled(stage)
        shutil.copytree(stage.folder / "state" / "journal", backup)
        copy_keys(stage)
        both = [keys_of(stage), copies_of(stage)]
        assert len(by_batch(*both)[Belongs(TID, 1)]) == 2
        await look(stage)
        assert kinds(stage) == [], "nothing has been kept long enough"
        later(stage)
        await look(stage)
        assert kinds(stage) == ["numbers_expired"]
        await look(stage)
        assert kinds(stage) == ["numbers_expired", "numbers_destroyed"]
        said = json.loads(stage.rig.records("numbers_destroyed")[0].payload)
        assert (said["batches"], len(said["key_ids"]), said["files"]) == ([1], 1, 2)
        assert list(by_batch(*both)) == [Belongs(TID, 2)]
        with pytest.raises(KeyTrouble, match="the card number is gone"):
            stage.rig.store.secret(old)
        assert b"pan" in stage.rig.store.secret(new)
        assert stage.differences() == []  # the chain holds
        await stage.end()
        assert (shown(stage, old), shown(stage, new)) == ("gone", "kept")
        # a backup of before: its rows are whole, and its numbers cannot be read any more, with any of the keys
        for keys in both:
            restored = opened(stage, backup, keys)
            with pytest.raises(KeyTrouble, match="the card number is gone"):
                restored.secret(old)
            assert b"pan" in (restored.secret(new) or b"")
            restored.close()

    play(with_copies(staged()), story)


def test_d29_no_key_is_touched_before_its_record_is_durable(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await sold_and_settled(stage)
        seen: list[list[str]] = []
        assert stage.daemon.retention is not None
        keys = stage.daemon.retention._keys
        destroy = keys.destroy

        def watching(*how: Any) -> None:
            seen.append(kinds(stage))
            destroy(*how)

        stage.daemon.retention._keys = _Watched(watching)
        later(stage)
        await look(stage)
        await look(stage)
        assert seen == [["numbers_expired"]]

    play(staged(), story)


class _Watched:
    def __init__(self, destroy: Callable[..., None]) -> None:
        self.destroy = destroy


def test_d29_killed_between_record_and_key_the_next_start_ends_it(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await sold_and_settled(stage)
        later(stage)
        await look(stage)
        assert (kinds(stage), stage.state().numbers_expiring) == (["numbers_expired"], (1,))
        await stage.end()
        assert Belongs(TID, 1) in by_batch(keys_of(stage))
        await stage.start()
        await stage.until(lambda: kinds(stage) == ["numbers_destroyed"])
        assert Belongs(TID, 1) not in by_batch(keys_of(stage))
        assert stage.differences() == []

    play(staged(), story)


def test_d29_copies_that_the_nightly_backup_destroys_are_waited_for_in_silence(staged: MakeStage) -> None:
    """The unit lets posd only read there."""

    async def story(stage: Stage) -> None:
        await sold_and_settled(stage)
        copy_keys(stage)
        assert stage.daemon.retention is not None
        keys = stage.daemon.retention._keys
        destroy = keys.destroy

        def may_not_write(belongs: Any, paths: list[Path]) -> None:
            if any(path.parent == copies_of(stage) for path in paths):
                raise OSError(errno.EROFS, "Read-only file system")
            destroy(belongs, paths)

        stage.daemon.retention._keys = _Watched(may_not_write)
        later(stage)
        await look(stage)
        await look(stage)
        assert (kinds(stage), stage.alerts("card_keys_not_destroyed"), stage.daemon.retention.in_trouble) == (
            ["numbers_expired"],
            [],
            False,
        )
        assert keep_copies(keys_of(stage), copies_of(stage), ended_of(stage)).destroyed == 1  # posd backup create
        await look(stage)
        assert kinds(stage) == ["numbers_expired", "numbers_destroyed"]
        (said,) = [json.loads(row.payload) for row in stage.rig.records("numbers_destroyed")]
        assert len(said["key_ids"]) == 1

    play(with_copies(staged()), story)


def test_d29_a_folder_of_copies_that_is_not_there_is_said_and_waited_for(
    staged: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("posd.daemon.retention.COPIES_GRACE_S", 0.0)

    async def story(stage: Stage) -> None:
        await sold_and_settled(stage)
        copy_keys(stage)
        copies_of(stage).rename(stage.folder / "unplugged")
        later(stage)
        for _ in range(3):
            await look(stage)
        assert kinds(stage) == ["numbers_expired"], "it is not said to be gone"
        assert Belongs(TID, 1) not in by_batch(keys_of(stage)), "but here it is"
        (alert,) = stage.alerts("card_keys_not_destroyed")
        assert "copies" in alert["where"]
        assert "card_keys_not_destroyed" in stage.daemon.troubles
        (stage.folder / "unplugged").rename(copies_of(stage))
        await look(stage)
        assert kinds(stage) == ["numbers_expired", "numbers_destroyed"]
        assert Belongs(TID, 1) not in by_batch(keys_of(stage), copies_of(stage))
        assert "card_keys_not_destroyed" not in stage.daemon.troubles

    play(with_copies(staged()), story)


def test_d29_a_copy_that_comes_back_is_destroyed_at_the_next_start(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await sold_and_settled(stage)
        copy_keys(stage)
        shutil.copytree(copies_of(stage), stage.folder / "old stick")
        later(stage)
        await look(stage)
        await look(stage)
        await stage.end()
        shutil.copytree(stage.folder / "old stick", copies_of(stage), dirs_exist_ok=True)
        shutil.copytree(stage.folder / "old stick", keys_of(stage), dirs_exist_ok=True)
        await stage.start()
        await stage.until(lambda: kinds(stage) == ["numbers_destroyed"])
        assert Belongs(TID, 1) not in by_batch(keys_of(stage), copies_of(stage))
        assert Belongs(TID, 2) in by_batch(keys_of(stage))

    play(with_copies(staged()), story)


def test_d29_a_terminal_that_was_configured_away_loses_its_numbers_too(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        await stage.sale("10.00", tid=SECOND)
        await settled(stage, SECOND)
        await stage.end()
        stage.settings["terminals"] = stage.settings["terminals"][:1]
        stage.tids = (TID,)
        await stage.start()
        later(stage)
        await look(stage)
        await look(stage)
        ended = [(row.tid, row.kind) for row in stage.rig.records() if row.kind.startswith("numbers_")]
        assert ended[:2] == [(SECOND, "numbers_expired"), (SECOND, "numbers_destroyed")]
        assert not [belongs for belongs in by_batch(keys_of(stage)) if belongs.tid == SECOND]
        await stage.end()
        await stage.start()  # its rows fold
        assert stage.differences() == []

    play(staged(tids=(TID, SECOND)), story)


def test_d29_a_refund_by_an_old_sale_is_refused_with_a_word_that_helps(staged: MakeStage) -> None:
    stage = staged()
    till = with_till(stage)

    async def story(stage: Stage) -> None:
        await stage.start()
        assert (await till.order("s-1")).status == 200
        await settled(stage)
        later(stage)
        await look(stage)
        refund = {"type": "refund", "amount": "1.00", "original": "s-1"}
        answer = await till.order("r-1", refund)
        assert answer.status == 404
        assert "card number is gone" in answer.json["detail"]
        assert stage.received("0220") == []

    play(stage, story)


def test_d19_what_comes_for_an_older_batch_is_sealed_with_that_batch(staged: MakeStage) -> None:
    """The reversal of a closed batch carries its number: it goes with that batch, not with the open one."""

    async def story(stage: Stage) -> None:
        await stage.start()
        await stage.sale("10.00")
        await stage.sale("5.00")
        await stage.until(lambda: stage.state().unended_reversals())
        await settled(stage)
        (reversal,) = stage.state().unended_reversals()
        before = len(stage.received("0400"))
        await stage.until(lambda: len(stage.received("0400")) > before)
        await stage.until(lambda: not stage.state().unended_reversals())
        newest = stage.rig.messages("out", "host", "0400")[-1]
        assert (newest.request_id, newest.key_batch) == (reversal.request_id, 1)

    faults = (
        {"do": "lose_answer", "mti": "0200", "amount": "5.00"},
        {"do": "refuse", "mti": "0400", "code": "96", "times": 6},
    )
    play(staged(faults=faults, change={"settlement": {"hold_max_s": 0.3}}), story)


# --- who vouches for the time --------------------------------------------------------------------------------------


class _Runner:
    """As much of a lane as is asked for its clocks."""

    def __init__(self, state: State, rules: Any) -> None:
        self.fenced = ""
        self.lane = self
        self.engine = self
        self.state, self.rules = state, rules


@pytest.fixture
def lane(staged: MakeStage) -> _Runner:
    found: list[_Runner] = []

    async def story(stage: Stage) -> None:
        await sold_and_settled(stage)
        found.append(_Runner(stage.state(), stage.daemon.lanes[Tid(TID)].lane.engine.rules))

    play(staged(), story)
    return found[0]


def test_d24_only_a_clock_that_somebody_vouches_for_ends_a_number(lane: _Runner) -> None:
    state = lane.state
    now_ms = state.session.signed_in_at_ms or 0
    far = Now(now_ms + 10_000 * DAY_MS, 0.0)
    assert vouched_ms(far, True, []) == far.wall_ms
    assert vouched_ms(far, False, []) is vouched_ms(far, None, []) is None
    told = vouched_ms(far, None, [lane])  # type: ignore[list-item]
    assert told is not None
    assert abs(told - now_ms) < 60_000, "the clock has jumped, and the host's word is the newest that counts"


def test_d24_a_host_that_disagrees_vouches_for_nothing(lane: _Runner) -> None:
    session = replace(lane.state.session, clock_offset_ms=400_000)
    lane.state = replace(lane.state, session=session, closed={}, transactions={})
    assert vouched_ms(Now(0, 0.0), None, [lane]) is None  # type: ignore[list-item]
    lane.state = replace(lane.state, session=replace(session, clock_offset_ms=None))
    assert vouched_ms(Now(0, 0.0), None, [lane]) is None  # type: ignore[list-item]


def test_d24_the_answers_to_sales_vouch_where_a_dialect_has_no_sign_in(lane: _Runner) -> None:
    (of, txn), *_ = lane.state.transactions.items()
    session = replace(lane.state.session, clock_offset_ms=None)
    lane.state = replace(lane.state, session=session, closed={})
    assert vouched_ms(Now(0, 0.0), None, [lane]) == txn.at_ms  # type: ignore[list-item]
    lane.state = replace(lane.state, transactions={of: replace(txn, facts=AnswerFacts("00"))})
    assert vouched_ms(Now(0, 0.0), None, [lane]) is None  # type: ignore[list-item]


def test_d24_a_host_tells_no_year_so_a_wrong_one_is_not_believed(lane: _Runner) -> None:
    """Set to the right day of the wrong year, the clock agrees with every host."""
    kept = {batch: at_ms - YEAR_IN_DOUBT_MS for batch, at_ms in lane.state.numbers_kept.items()}
    lane.state = replace(lane.state, numbers_kept=kept)
    assert vouched_ms(Now(0, 0.0), None, [lane]) is None  # type: ignore[list-item]


def test_d29_the_key_file_says_whose_it_is(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await sold_and_settled(stage)
        said = [read_key_file(path) for path in keys_of(stage).glob("*.key")]
        assert sorted((one.tid, one.batch) for one in said) == [(TID, 1), (TID, 2)]
        await stage.end()
        with JournalReader(stage.folder / "state" / "journal") as reader:
            assert all(row.sealed for row in reader.records() if row.kind == "authorisation_started")
        await stage.start()
        await stage.sale("30.00")
        again = by_batch(keys_of(stage))[Belongs(TID, 2)]
        assert len(again) == 2, "a new one at each start"

    play(staged(), story)
