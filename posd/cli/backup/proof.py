"""`posd backup verify`: really restores a backup into a scratch place, checks every row, folds every terminal anew, and
compares that with what the manifest says.
"""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from posd.cli import exit_status
from posd.cli.backup.last import Last, note_run
from posd.cli.backup.parts import Parts, distrust, parts_of, size, without
from posd.cli.backup.standing import standing
from posd.cli.screen import Progress, note, paint, print_json, printable
from posd.daemon.clock import SystemClock
from posd.errors import PosdError, StorageFailed
from posd.journal.backups.manifest import Manifest, TerminalAt, differing, read_manifest
from posd.journal.backups.sets import copy_set, damaged_segments, find, left_out
from posd.journal.chain import Chain
from posd.journal.connect import storage
from posd.journal.room import free_bytes
from posd.journal.verify import verify
from posd.journal.verify_archive import Looks

SCRATCH = ".posd-verify-"
LEFT_MS = 24 * 3_600_000
FINDINGS_SHOWN_MAX = 50


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found. `rows`: those whose link was computed anew."""

    manifest: Manifest | None
    folder: Path
    findings: tuple[str, ...]
    rows: int
    took_s: float
    left_out: tuple[str, ...] = ()
    """Archived months that are not in it, because they were elsewhere when it was made."""


def verify_command(config: Path, name: str | None, scratch: Path | None, as_json: bool) -> int:
    """Prove one backup, the newest without a name. Status 1: there are findings."""
    parts = parts_of(config)
    folder = find(parts.settings.backup.path, name)
    proof = prove(folder, parts, scratch)
    trouble = proof.findings[0] if proof.findings else ""
    note_run(parts.settings.state_dir, verify=Last(SystemClock().now().wall_ms, folder.name, trouble))
    if as_json:
        print_json(_view(proof))
    else:
        _show(proof)
    return exit_status.FINDINGS if proof.findings else exit_status.GOOD


def prove(folder: Path, parts: Parts, scratch: Path | None = None) -> Proof:
    """Restore it for nothing and see. Raises ConfigError, StorageFailed: the scratch place cannot be used."""
    clock = SystemClock()
    begun_s = clock.monotonic_s()
    try:
        manifest = read_manifest(folder)
    except StorageFailed as error:
        return Proof(None, folder, (str(error),), 0, clock.monotonic_s() - begun_s)
    findings = [*judged(folder, manifest, parts), *damaged_segments(folder, manifest).values()]
    rows = 0
    missing: tuple[str, ...] = ()
    if not findings:
        with _Place(scratch or folder.parent, manifest) as place, Progress("checking the rows", "rows") as progress:
            copy_set(folder, manifest, place)
            missing = left_out(place, manifest)
            rows, more = _replayed(place, manifest, parts, progress, Looks(elsewhere=bool(missing)))
            findings += more
    return Proof(manifest, folder, tuple(findings), rows, clock.monotonic_s() - begun_s, missing)


def judged(folder: Path, manifest: Manifest, parts: Parts) -> Iterator[str]:
    """What is wrong with a backup by its manifest and the sums of its files, but for the archive's; nothing of it is
    opened before."""
    if why := distrust(manifest, parts):
        yield why
        return
    if manifest.name != folder.name:
        yield f"{folder}: its manifest says that it is {manifest.name}"
    yield from differing(folder, manifest.files)


class _Place:
    """A folder for the length of a proof, beside the backups or where a person says."""

    def __init__(self, parent: Path, manifest: Manifest) -> None:
        self._parent, self._needed = parent, manifest.size
        self._folder: Path | None = None

    def __enter__(self) -> Path:
        with storage(f"making a scratch place in {self._parent}"):
            _clear(self._parent)
            if free_bytes(self._parent) < self._needed:
                raise StorageFailed(
                    f"backup: {self._parent}: {size(self._needed)} are needed to prove it; use --scratch"
                )
            self._folder = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=self._parent))
        return self._folder

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _clear(parent: Path) -> None:
    """Remove what a killed proof left here; one that runs now is younger."""
    now_ms = SystemClock().now().wall_ms
    for left in parent.glob(f"{SCRATCH}*"):
        if left.stat().st_mtime * 1_000 < now_ms - LEFT_MS:
            shutil.rmtree(left, ignore_errors=True)


def _replayed(place: Path, manifest: Manifest, parts: Parts, progress: Progress, looks: Looks) -> tuple[int, list[str]]:
    """Every row against the chain, every record folded, against what the manifest says.

    Without some months a terminal is folded from its snapshot: only that has what was in them.
    """
    try:
        report = verify(place, parts.keys.chain, progress.tell, looks)
        found = [str(one) for one in report.findings]
        if report.head != manifest.head:
            found.append(f"it ends at row {report.head.sequence}, its manifest says {manifest.head_sequence}")
        if not found:
            stand = standing(parts.settings, place, Chain(parts.keys.chain) if looks.elsewhere else None)
            found += _compared(manifest.terminals, stand)
    except PosdError as error:
        return 0, [str(error)]
    return report.rows, found


def _compared(wanted: tuple[TerminalAt, ...], found: tuple[TerminalAt, ...]) -> Iterator[str]:
    there = {one.tid: one for one in found}
    for one in wanted:
        other = there.pop(one.tid, None)
        if other is None:
            yield f"terminal {one.tid}: in the manifest, and not in the rows"
            continue
        for name in TerminalAt.__struct_fields__:
            if getattr(one, name) != getattr(other, name):
                what = f"{name} is {getattr(other, name)}, the manifest says {getattr(one, name)}"
                yield f"terminal {one.tid}: {what}"
    yield from (f"terminal {tid}: in the rows, and not in the manifest" for tid in there)


def _view(proof: Proof) -> dict[str, object]:
    manifest = proof.manifest
    return {
        "good": not proof.findings,
        "name": manifest.name if manifest is not None else proof.folder.name,
        "folder": str(proof.folder),
        "findings": list(proof.findings),
        "rows": proof.rows,
        "without": list(proof.left_out),
        "terminals": msgspec.to_builtins(manifest.terminals) if manifest is not None else [],
        "took_s": round(proof.took_s, 3),
    }


def _show(proof: Proof) -> None:
    if not proof.findings and proof.manifest is not None:
        terminals = len(proof.manifest.terminals)
        print(
            paint(
                printable(
                    f"{proof.folder.name}: restored and replayed: {proof.rows:,} rows fit the chain, {terminals} "
                    f"terminal(s) stand as its manifest says, in {proof.took_s:.1f} s"
                ),
                "green",
            )
        )
        if proof.left_out:
            note(without(proof.left_out))
        return
    for finding in proof.findings[:FINDINGS_SHOWN_MAX]:
        print(paint(printable(f"! {finding}"), "red"))
    print(printable(f"{proof.folder}: {len(proof.findings)} finding(s): it cannot be relied on; make another one"))
