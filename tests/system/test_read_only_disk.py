"""A disk that turns read-only under a real posd, as ext4 does after an error: it stops, says why, and loses nothing."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.house import House, Shopper

pytestmark = pytest.mark.system

TID = "10000001"
MIB = 1024 * 1024


@dataclass
class Disk:
    """An ext4 in a file, mounted at `folder`."""

    image: Path
    folder: Path

    def mount(self) -> None:
        options = ["-o", "loop,errors=remount-ro"]
        done = subprocess.run(["mount", *options, self.image, self.folder], capture_output=True, check=False)
        if done.returncode:
            pytest.skip("this machine does not let us mount")

    def fails(self) -> None:
        """The kernel's own switch for what a real error of the disk does."""
        source = subprocess.check_output(["findmnt", "-n", "-o", "SOURCE", self.folder], text=True).strip()
        switch = Path("/sys/fs/ext4") / Path(source).name / "trigger_fs_error"
        if not switch.exists():
            pytest.skip("this kernel has no switch for errors of ext4")
        switch.write_text("1")

    def mend(self) -> None:
        """What a person does: look at it, repair it, mount it again."""
        self.unmount()
        subprocess.run(["fsck.ext4", "-p", "-f", self.image], capture_output=True, check=False)
        self.mount()

    def unmount(self) -> None:
        subprocess.run(["umount", self.folder], capture_output=True, check=False)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
        pytest.skip("takes root and mkfs.ext4")
    disk = Disk(tmp_path / "image", tmp_path / "disk")
    disk.folder.mkdir()
    with disk.image.open("wb") as file:
        file.truncate(192 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-F", disk.image], check=True, capture_output=True)
    disk.mount()
    try:
        yield disk
    finally:
        disk.unmount()


def test_a_disk_that_turns_read_only_stops_posd_and_loses_nothing(built: Callable[..., House], disk: Disk) -> None:
    house = built()
    (house.folder / "state").symlink_to(disk.folder / "state")
    (disk.folder / "state").mkdir(mode=0o700)

    async def story() -> None:
        house.start()
        await house.ready()
        shopper = Shopper(house, TID, 1)
        buying = asyncio.create_task(shopper.shop())
        async with asyncio.timeout(30):
            while len(shopper.approved) < 5:
                await asyncio.sleep(0.05)
        disk.fails()
        assert await house.ended() == 3
        assert "read-only" in house.errors().lower()
        assert "Traceback" not in house.errors()
        status, why = house.refused()
        assert (status, "Traceback" in why) in ((2, False), (3, False))
        assert "read-only" in why.lower()
        disk.mend()
        house.start()
        await house.ready()
        more = len(shopper.approved) + 3
        async with asyncio.timeout(30):
            while len(shopper.approved) < more:
                await asyncio.sleep(0.05)
        shopper.stop = True
        await buying
        await house.agreed()
        assert house.chain_findings() == []
        assert await house.terminated() == 0

    asyncio.run(story())
