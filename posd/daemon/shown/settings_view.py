"""What `posd status` says of the configuration: whether the file on the disk, as last read, is what runs. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from posd.daemon.shown.findings import ALERT, NOTE, finding_of
from posd.daemon.shown.views import View


@dataclass(frozen=True, slots=True)
class SettingsShown:
    """`refused`: why the file was not taken, one text a problem; `restart`: what of it counts from the next start."""

    refused: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()


def settings_view(shown: SettingsShown) -> View:
    """For `posd status`."""
    return {"refused": list(shown.refused), "restart_needed": list(shown.restart)}


def settings_findings(view: View) -> Iterator[View]:
    """What of the file does not run."""
    if refused := view["refused"]:
        more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
        text = f"the configuration on the disk is not what runs; it was refused: {refused[0]}{more}"
        to_do = "mend it, until posd check-config is content; then: systemctl reload posd"
        facts = {"why": refused[0], "count": len(refused)}
        yield {"tid": None, **finding_of("settings_refused", ALERT, text, to_do, **facts)}
    if names := ", ".join(view["restart_needed"]):
        text = f"the configuration was changed, and a restart is needed for: {names}"
        yield {"tid": None, **finding_of("settings_restart", NOTE, text, "systemctl restart posd", names=names)}
