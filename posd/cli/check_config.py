"""`posd check-config FILE`: everything wrong with a configuration, before anything is started.

It must never change anything, and it never shows a value that could be a secret.
"""

import json
import os
import pwd
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from posd.cli.screen import note
from posd.cli.try_start import start_problems
from posd.config import load_document
from posd.config.access import problems_of_names
from posd.config.machine import check_environment
from posd.daemon.shown.offline import journal_folder
from posd.errors import PosdError
from posd.journal.connect import JOURNAL_FILE, SCHEMA_VERSION, schema_of
from posd.yamlmarks import ConfigProblems, Problem

EXIT_GOOD = 0
EXIT_BAD = 2


def check_config_command(path: Path, as_json: bool) -> int:
    """Check the file and the machine it names: status 0 when all is good, else 2. posd would start all the same where
    only users or groups of `access` are unknown.

    Problems go to standard error, one a line; with `as_json`, to standard output as a list of {file, line, column,
    path, what, hint}, empty when all is good (line 0: the file as a whole).
    """
    problems = _problems(path)
    if not problems:
        _say_of_an_upgrade(path)
    if as_json:
        print(json.dumps([asdict(problem) for problem in problems], ensure_ascii=False, indent=2))
    elif problems:
        for problem in problems:
            print(f"posd: {problem}", file=sys.stderr)
        _say_for_whom(path)
    else:
        print(f"{path}: good")
    return EXIT_BAD if problems else EXIT_GOOD


def _say_for_whom(path: Path) -> None:
    """Rights are looked at for the one who asks, who may be somebody else than the service."""
    with suppress(PosdError, OSError, KeyError):
        owner = load_document(path)[0].state_dir.stat().st_uid
        if os.geteuid() not in (0, owner):
            note(
                f"this is so for you; posd runs as {pwd.getpwuid(owner).pw_name}: check as root, who sees what that may"
            )


def _say_of_an_upgrade(path: Path) -> None:
    """Before the start that does it: there is no way back (D34)."""
    settings, _ = load_document(path)
    with suppress(PosdError, OSError):
        found = schema_of(journal_folder(settings) / JOURNAL_FILE)
        if found < SCHEMA_VERSION:
            note(
                f"the journal has schema {found}; the next start makes it {SCHEMA_VERSION}, and no older posd can use"
                " it then: stop posd, make a backup (posd backup create), then start the new one"
            )


def _problems(path: Path) -> list[Problem]:
    try:
        settings, document = load_document(path)
    except ConfigProblems as error:
        return list(error.problems)
    names = problems_of_names(settings, document)
    return sorted({*check_environment(settings, document), *start_problems(settings, document), *names})
