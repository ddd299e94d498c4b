"""`posd backup list`: what there is, and whether its files are there in their sizes; proving it is `verify`'s work."""

from datetime import UTC, datetime
from pathlib import Path

from posd.cli import exit_status
from posd.cli.backup.parts import Parts, distrust, parts_of, size
from posd.cli.screen import paint, print_json, printable, table
from posd.daemon.shown.views import View
from posd.journal.backups.sets import Kept, kept, was_used

HEADS = ("BACKUP", "MADE", "ROWS", "HEAD", "SIZE", "STATE")


def list_command(config: Path, as_json: bool) -> int:
    """The backups, oldest first. Status 1: one of them cannot be used."""
    parts = parts_of(config)
    views = [_view(one, parts) for one in kept(parts.path)]
    good = all(view["good"] for view in views)
    if as_json:
        print_json({"good": good, "path": str(parts.path), "backups": views})
    elif not views:
        print(printable(f"There is no backup in {parts.path} yet."))
    else:
        colours = ["" if view["good"] else "red" for view in views]
        print(table(HEADS, [_row(view) for view in views], right=(2, 3, 4), colours=colours))
    if not as_json and not good:
        print(paint("A backup that is damaged cannot be restored.", "red"))
    return exit_status.GOOD if good else exit_status.FINDINGS


def _view(one: Kept, parts: Parts) -> View:
    manifest = one.manifest
    trouble = one.trouble or (distrust(manifest, parts) if manifest is not None else "")
    view: View = {"name": one.name, "folder": str(one.folder), "good": not trouble, "trouble": trouble}
    if manifest is None:
        return {**view, "state": "damaged"}
    made = datetime.fromtimestamp(manifest.made_at_ms / 1000, UTC).isoformat(timespec="seconds")
    state = "damaged" if trouble else "final, spent" if was_used(one.folder) else "final" if manifest.final else "good"
    return {
        **view,
        "state": state,
        "made_at": made,
        "rows": manifest.rows,
        "head": manifest.head_sequence,
        "bytes": manifest.size,
        "schema": manifest.schema,
        "posd": manifest.posd,
        "final": manifest.final,
        "segments": [segment.name for segment in manifest.segments],
    }


def _row(view: View) -> list[str]:
    state = f"{view['state']}: {view['trouble']}" if view["trouble"] else view["state"]
    if "rows" not in view:
        return [view["name"], "", "", "", "", state]
    return [view["name"], view["made_at"], f"{view['rows']:,}", str(view["head"]), size(view["bytes"]), state]
