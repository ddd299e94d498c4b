"""backup.command: carries what was made to another place. A program with its words, never a shell; its status and its
time decide whether it was carried.
"""

import os
import signal
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from posd.daemon.logmask import mask_text, one_line
from posd.errors import StorageFailed

SAID_CHARACTERS_MAX = 300
"""Of what a failing command says, the end."""


def ship(command: Sequence[str], files: Iterable[Path], timeout_s: float) -> None:
    """Run it once for each file. Raises StorageFailed: it cannot be run, did not end in time, or ended otherwise."""
    for file in files:
        _run([_filled(word, file) for word in command], timeout_s)


def _filled(word: str, file: Path) -> str:
    return word.replace("{file}", str(file)).replace("{name}", file.name)


def _run(words: list[str], timeout_s: float) -> None:
    program = Path(words[0]).name
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that its own children end with it
        )
    except OSError as error:
        raise StorageFailed(f"backup.command: {program}: {(error.strerror or str(error)).lower()}") from None
    try:
        said, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise StorageFailed(f"backup.command: {program}: no end after {timeout_s:g} s; it was ended") from None
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    if process.returncode != 0:
        text = one_line(mask_text(said.decode("utf-8", "replace").strip()[-SAID_CHARACTERS_MAX:]))
        raise StorageFailed(f"backup.command: {program} ended with status {process.returncode}: {text or 'no word'}")
