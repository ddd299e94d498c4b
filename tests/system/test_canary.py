"""T12: card data and keys searched wherever posd could have left them, after days with every kind of trouble (P5).

One story in each dialect (canary_story.py); then each place is searched for everything secret in it, in every form in
which it could lie there.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from posd.cli.demo.canary import digits_canary, holds, search
from posd.journal.connect import query
from posd.journal.reader import JournalReader
from posd.journal.segment import open_segment
from tests.daemon.stage import TID
from tests.system.canary_story import FAULTS, SEED, Life, Secretive, Told, of_everything
from tests.system.image import Image, why_not

pytestmark = pytest.mark.system


@pytest.fixture(scope="module", params=["unionpay", "nac"])
def told(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Told]:
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
    how: dict[str, Any] = {"faults": FAULTS, "host_arguments": ("--seed", str(SEED)), "nac": request.param == "nac"}
    house = Secretive(folder, outside, (TID,), **how)
    left = Told(folder, image, [])
    try:
        house.open()
        asyncio.run(asyncio.wait_for(Life(house, left).live(), 240))
        sign_ins = sum(row.kind == "signed_in" for row in house.records())
        with JournalReader(house.folder / "state" / "journal") as reader:
            left.uploads = sum(row.mti == "0320" and bool(row.sealed) for row in reader.messages())
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
    wanted = {"sale approved", "sale declined", "refund approved", "preauth approved", "void approved", "till approved"}
    assert wanted <= told.seen
    assert {"balance approved", "tip approved"} & told.seen
    assert told.uploads or "tip approved" not in told.seen, "card numbers were taken from the vault again"
    (segment,) = (told.folder / "state" / "journal" / "archive").glob("*.segment")
    with closing(open_segment(segment)) as connection:
        ((sealed,),) = query(connection, "SELECT count(*) FROM message WHERE key_id IS NOT NULL")
    assert sealed > 2
    assert list((told.folder / "backups" / "archive").glob("*.segment"))
    for done, word in (("keys rotate --by Li", b"was replaced by"), ("backup verify --json", b'"good": true')):
        assert word in told.said[f"posd {done}"], told.said[f"posd {done}"]
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
    assert {"journal.db", "journal.db-wal", "anchor", "ballast", "log", "errors", "key copies", "archive"} <= names
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
