"""What a person at the till types in the demo: posd's own commands as processes of their own, with their JSON.

It must never talk to the daemon in another way than posd's commands do, and never run longer than its limit.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from posd.cli.demo.process import Event, StageFailed
from posd.cli.demo.stage import Folder

COMMAND_LIMIT_S = 40.0
OPERATOR_NAME = "Li Na"


@dataclass(frozen=True, slots=True)
class Said:
    """What a command ended with. `values`: its JSON object."""

    status: int
    values: Event


def posd(folder: Folder, *arguments: str, may_end: Sequence[int] = (0,)) -> Said:
    """`posd ARGUMENTS --config posd.yaml --json`. Raises StageFailed when it ends otherwise than `may_end`."""
    command = [sys.executable, "-m", "posd", *arguments, "--config", "posd.yaml", "--json"]
    name = " ".join(("posd", *arguments[:2]))
    try:
        done = subprocess.run(
            command, cwd=folder.posd, capture_output=True, text=True, timeout=COMMAND_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise StageFailed(f"{name}: not done within {COMMAND_LIMIT_S:g} s") from None
    if done.returncode not in may_end:
        raise StageFailed(f"{name} ended with status {done.returncode}: {done.stderr.strip()[-300:]}")
    try:
        return Said(done.returncode, json.loads(done.stdout))
    except ValueError:
        raise StageFailed(f"{name} printed no JSON") from None
