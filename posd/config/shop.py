"""Terminals, doors, amounts and times of day."""

from datetime import time

from posd.addresses import TlsAddress
from posd.settings import DoorTlsSettings, Settings
from posd.values import format_amount
from posd.yamlmarks import Document, Place, Problem

DAY_S = 86_400

HALF_DAY_S = DAY_S // 2
"""A settlement less than this before the cut-over is meant to precede it; else it would follow it."""


def check(settings: Settings, document: Document) -> list[Problem]:
    """Every contradiction of these settings."""
    return [
        *_terminals_distinct(settings, document),
        *_open_door(settings, document),
        *_door_tls(settings, document),
        *_amounts(settings, document),
        *_cutover(settings, document),
    ]


def _terminals_distinct(settings: Settings, document: Document) -> list[Problem]:
    first: dict[str, int] = {}
    problems = []
    for number, terminal in enumerate(settings.terminals):
        other = first.setdefault(terminal.tid, number)
        if other != number:
            what = f"terminal {terminal.tid} stands already at {document.place(('terminals', other, 'tid'))}"
            problems.append(document.problem(("terminals", number, "tid"), what, "each terminal once"))
    return problems


def _open_door(settings: Settings, document: Document) -> list[Problem]:
    """D28: what others on the network can reach must prove itself, by a MAC or by a certificate."""
    mutual = settings.door.tls.client_ca_file is not None
    if all(address.is_local or (mutual and isinstance(address, TlsAddress)) for address in settings.door.listen):
        return []
    where = document.place(("door", "listen"))
    what = f"must be required, because door.listen ({where}) can be reached from other machines"
    hint = 'write "mac: required", listen on 127.0.0.1, or on tls:// alone with door.tls.client_ca_file'
    return [
        document.problem(("terminals", number, "mac"), what, hint)
        for number, terminal in enumerate(settings.terminals)
        if terminal.mac != "required"
    ]


def _door_tls(settings: Settings, document: Document) -> list[Problem]:
    """A door with TLS has a certificate, and nothing is said of TLS where no door speaks it."""
    tls, place = settings.door.tls, ("door", "tls")
    spoken = any(isinstance(address, TlsAddress) for address in settings.door.listen)
    where = f"door.listen ({document.place(('door', 'listen'))})"
    if not spoken and tls != DoorTlsSettings():
        what = f"{where} has no address with tls://"
        return [document.problem(place, what, 'write it as "tls://0.0.0.0:7443", or remove this')]
    missing = [name for name in ("certificate_file", "key_file") if getattr(tls, name) is None]
    if spoken and missing:
        what = f"{' and '.join(missing)} missing, which {where} needs for tls://"
        return [document.problem(place, what, "give the PEM files of the door's certificate and of its key")]
    if tls.client_ca_file is None and tls.client_name == "any":
        what = "says for whom a terminal's certificate may speak, but none is asked for"
        return [document.problem((*place, "client_name"), what, "write client_ca_file too, or remove this")]
    return []


def _amounts(settings: Settings, document: Document) -> list[Problem]:
    """D23: a batch cannot be both too small and too large."""
    settlement = settings.settlement
    if not settlement.maximum or settlement.minimum <= settlement.maximum:
        return []
    maximum = f"settlement.maximum ({format_amount(settlement.maximum)}, {document.place(('settlement', 'maximum'))})"
    what = f"{format_amount(settlement.minimum)} is above {maximum}"
    return [document.problem(("settlement", "minimum"), what, "lower this, raise that, or write 0.00 for off")]


def _cutover(settings: Settings, document: Document) -> list[Problem]:
    """D23: the settlement has to come before the host cuts its day over, not just after."""
    cutover = settings.settlement.host_cutover_at
    if cutover is None:
        return []
    where = document.place(("settlement", "host_cutover_at"))
    problems = []
    for number, terminal in enumerate((None, *settings.terminals)):
        own = terminal is not None and terminal.settlement.at is not None
        if terminal is not None and not own:
            continue
        times = settings.schedule_of(terminal).at if terminal is not None else settings.settlement.at
        if any(_seconds_between(at, cutover) < HALF_DAY_S for at in times):
            continue
        place: Place = ("terminals", number - 1, "settlement", "at") if own else ("settlement", "at")
        what = f"the day's last settlement would come after settlement.host_cutover_at ({cutover:%H:%M}, {where})"
        problems.append(document.problem(place, what, "settle some minutes before the host's cut-over"))
    return problems


def _seconds_between(earlier: time, later: time) -> int:
    """From one time of day to the next occurrence of another."""
    first, second = (at.hour * 3600 + at.minute * 60 + at.second for at in (earlier, later))
    return (second - first) % DAY_S
