"""`posd keys list | remove`: which TMKs there are, by check value and age, and the end of one that nothing uses."""

from pathlib import Path

from posd.cli import exit_status
from posd.cli.asking import settings_at
from posd.cli.keys.doing import do
from posd.cli.keys.words import say
from posd.cli.lang import Lang
from posd.cli.screen import note, print_json, printable, table
from posd.cli.status import duration, moment
from posd.daemon.shown.views import View


def list_command(config: Path, as_json: bool, lang: Lang) -> int:
    """Check values and ages; never a key."""
    said = do(settings_at(config), "keys.list", {})
    if as_json:
        print_json(said)
        return exit_status.GOOD
    if said["keys"]:
        print(table(say(lang, "heads").split("|"), [_row(view, lang) for view in said["keys"]], right=(1,)))
    elif not said["plain"]:
        print(say(lang, "none"))
    for one in said["plain"]:
        note(printable(say(lang, "plain", tid=one["tid"], file=one["file"])))
    return exit_status.GOOD


def _row(view: View, lang: Lang) -> list[str]:
    return [
        view["tid"],
        str(view["index"]),
        say(lang, "yes") if view["in_use"] else "",
        view["cipher"],
        view["check_value"],
        view["home"],
        ", ".join(view["by"]),
        moment(view["at"]),
        duration(view["age_s"], lang) if view["age_s"] is not None else "",
    ]


def remove_command(config: Path, tid: str, index: int, by: str, reason: str, as_json: bool, lang: Lang) -> int:
    """A named person destroys a TMK that no terminal works with."""
    args = {"tid": tid, "index": index, "by": by, "reason": reason}
    said = do(settings_at(config), "keys.remove", args)
    if as_json:
        print_json(said)
    else:
        print(printable(say(lang, "removed", tid=said["tid"], index=said["index"], kcv=said["check_value"])))
    return exit_status.GOOD
