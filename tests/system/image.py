"""A small ext4 of its own in a file, so that afterwards every block of the disk can be read, whatever was deleted."""

import os
import subprocess
from pathlib import Path

IMAGE_BYTES = 48 * 1024 * 1024
BLOCK_BYTES = 4096


def why_not() -> str:
    """Why this machine can have none; empty: it can."""
    if os.geteuid() != 0:
        return "only root may mount an image"
    missing = [name for name in ("mkfs.ext4", "mount", "umount") if _status("sh", "-c", f"command -v {name}") != 0]
    return f"{', '.join(missing)} is missing here" if missing else ""


class Image:
    """Mounted at `folder`. Raises OSError where the kernel has no loop devices."""

    def __init__(self, file: Path, folder: Path) -> None:
        self.file, self.folder = file, folder
        with file.open("wb") as image:
            image.truncate(IMAGE_BYTES)
        folder.mkdir()
        subprocess.run(["mkfs.ext4", "-q", "-F", str(file)], check=True, capture_output=True)
        if _status("mount", "-o", "loop", str(file), str(folder)) != 0:
            raise OSError("this kernel mounts no image: no loop devices")

    def unmount(self) -> None:
        """Everything is on the image now."""
        subprocess.run(["sync", "-f", str(self.folder)], check=False)
        subprocess.run(["umount", str(self.folder)], check=True, capture_output=True)

    def written(self) -> bytes:
        """Every block that was ever written, in its order: files, deleted files, the file system's own journal."""
        found = []
        with self.file.open("rb") as image:
            while block := image.read(BLOCK_BYTES):
                if block.count(0) != len(block):
                    found.append(block)
        return b"".join(found)


def _status(*command: str) -> int:
    return subprocess.run(command, capture_output=True, check=False).returncode
