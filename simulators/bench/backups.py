"""What backups cost: `python -m simulators.bench.backups --rows 100000`. Made, proven and restored by posd's own
commands, and the longest commit meanwhile: two runs of a writer of the same length, without and beside a backup.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from posd.core.station import STATION
from posd.journal.contract import RecordRow
from posd.journal.opening import open_store
from posd.journal.sqlite import SqliteStore
from posd.security.machine import load_machine_key
from posd.security.vault import DataKeys
from simulators.bench.past import write_past
from simulators.bench.stage import PosdPlace, posd_place

ROWS_PER_SALE = 7
TIDS = [f"1000000{number}" for number in range(1, 9)]
BEAT_S = 0.002
"""Between two commits of the writer."""


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="posd-backups-", dir=".") as folder:
        figures = measured(Path(folder).absolute(), options.rows)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        for name, value in figures.items():
            print(f"{name:34} {value}")


def measured(folder: Path, rows: int) -> dict[str, Any]:
    """All figures of a journal of about so many rows."""
    place = posd_place(folder / "posd", TIDS, 1, 8)
    settings = yaml.safe_load(place.config.read_text())
    settings["backup"] = {"path": str(folder / "backups"), "keys_to": str(folder / "copies")}
    place.config.write_text(yaml.safe_dump(settings))
    for name in ("backups", "copies"):
        (folder / name).mkdir()
    write_past(place, TIDS, rows // ROWS_PER_SALE, lambda written: None)
    alone, beside, made = _commits(place)
    proof = _posd(place, "backup", "verify")
    begun_s = time.monotonic()
    restored = _posd(place, "backup", "restore", "--move-aside")
    return {
        "rows": made["rows"],
        "bytes": made["bytes"],
        "create, s": made["took_s"],
        "verify, s": proof["took_s"],
        "restore, s": round(time.monotonic() - begun_s, 3),
        "restored rows": restored["rows"],
        "commits a second alone": round(len(alone) / sum(alone)),
        "longest commit alone, ms": round(max(alone) * 1000, 1),
        "longest commit beside create, ms": round(max(beside) * 1000, 1),
    }


def _commits(place: PosdPlace) -> tuple[list[float], list[float], dict[str, Any]]:
    """A writer's commits for as long as a create takes, without one and beside one; seconds each."""
    key = load_machine_key(place.machine_key)
    keys = DataKeys(place.folder / "state" / "keys", key)
    store = open_store(place.journal, key.derive("chain"), key.derive("digest"), keys)
    said: list[dict[str, Any]] = []
    try:
        create = threading.Thread(target=lambda: said.append(_posd(place, "backup", "create")))
        create.start()
        beside = _write(store, create.is_alive)
        until_s = time.monotonic() + said[0]["took_s"]
        return _write(store, lambda: time.monotonic() < until_s), beside, said[0]
    finally:
        store.close()


def _write(store: SqliteStore, going: Callable[[], bool]) -> list[float]:
    took = []
    while going():
        at_ms = time.time_ns() // 1_000_000
        begun_s = time.monotonic()
        store.write([[RecordRow(STATION, "daemon_started", 1, at_ms, '{"version":"bench"}')]])
        took.append(time.monotonic() - begun_s)
        store.upkeep()
        time.sleep(BEAT_S)
    return took


def _posd(place: PosdPlace, *words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "posd", *words, "--config", str(place.config), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout:
        raise SystemExit(f"posd {' '.join(words)}: {done.stderr.strip()}")
    return dict(json.loads(done.stdout))


if __name__ == "__main__":
    main()
