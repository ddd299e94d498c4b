"""`posd check-config FILE`: everything wrong with a configuration, before anything is started.

It must never change anything, and it never shows a value that could be a secret.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from posd.cli.try_start import start_problems
from posd.config import load_document
from posd.config.access import problems_of_names
from posd.config.machine import check_environment
from posd.yamlmarks import ConfigProblems, Problem

EXIT_GOOD = 0
EXIT_BAD = 2


def check_config_command(path: Path, as_json: bool) -> int:
    """Check the file and the machine it names: status 0 when posd could start, else 2.

    Problems go to standard error, one a line; with `as_json`, to standard output as a list of {file, line, column,
    path, what, hint}, empty when all is good (line 0: the file as a whole).
    """
    problems = _problems(path)
    if as_json:
        print(json.dumps([asdict(problem) for problem in problems], ensure_ascii=False, indent=2))
    elif problems:
        for problem in problems:
            print(f"posd: {problem}", file=sys.stderr)
    else:
        print(f"{path}: good")
    return EXIT_BAD if problems else EXIT_GOOD


def _problems(path: Path) -> list[Problem]:
    try:
        settings, document = load_document(path)
    except ConfigProblems as error:
        return list(error.problems)
    names = problems_of_names(settings, document)
    return sorted({*check_environment(settings, document), *start_problems(settings, document), *names})
