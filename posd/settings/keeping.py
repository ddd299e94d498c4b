"""What is kept away from the journal's own disk: backups."""

from typing import Annotated

from pydantic import AfterValidator, Field

from posd.settings.types import PathOrNone, Seconds, Section

KEEP_MAX = 10_000
HOURS_MAX = 8_760
WORDS_MAX, WORD_CHARACTERS_MAX = 64, 1_024
FILE = "{file}"
"""In backup.command: the folder of the backup, or a segment of the archive. `{name}`: its name."""


def _command(words: tuple[str, ...]) -> tuple[str, ...]:
    if not words:
        return words
    if len(words) > WORDS_MAX or any(len(word) > WORD_CHARACTERS_MAX or not word for word in words):
        raise ValueError(f"at most {WORDS_MAX} words, none of them empty; put a longer one into a script")
    if not any(FILE in word for word in words[1:]):
        raise ValueError('must name what it is to carry; write ["rsync", "-a", "{file}", "store:posd/"]')
    if FILE in words[0]:
        raise ValueError("begins with the program, without a shell; write the backup's place after it")
    return words


class BackupSettings(Section):
    """Where backups of the journal go, and how many are kept; off without a `path`."""

    path: PathOrNone = None
    keep: Annotated[int, Field(ge=1, le=KEEP_MAX)] = 14
    keys_to: PathOrNone = None
    command: Annotated[tuple[str, ...], AfterValidator(_command)] = ()
    command_timeout_s: Seconds = 3_600.0
    alert_hours: Annotated[int, Field(ge=0, le=HOURS_MAX)] = 26
