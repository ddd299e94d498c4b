"""The configuration file, read, checked as a whole, and checked against the machine it is to run on.

`load` refuses every contradiction before anything starts, all at once, each with its place;
`check_environment` finds what only this machine can tell. Neither may change anything on disk.
"""

import os
from collections.abc import Sequence
from datetime import time
from pathlib import Path

from posd.addresses import AnyAddress, SerialAddress
from posd.errors import ConfigError, KeyTrouble
from posd.security.des import KEY_BYTES_SINGLE
from posd.security.keys import DES, SM4, SM4_SIGN_IN, layout_of, load_tmk
from posd.security.mac import ALGORITHMS
from posd.security.machine import load_machine_key
from posd.settings import FOLDER, Settings
from posd.values import format_amount
from posd.yamlmarks import ConfigProblems, Document, Place, Problem, read_document, shown_path

DAY_S = 86_400
LINE_MESSAGE_BYTES = 1_024
"""A long message with field 55: what a serial line is reckoned with."""

HALF_DAY_S = DAY_S // 2
"""A settlement less than this before the cut-over is meant to precede it; else it would follow it."""


def load(path: Path) -> Settings:
    """The settings in the YAML file at `path`; relative paths in it start at the file's folder.

    Raises ConfigProblems (a ConfigError): every problem, one a line, as `file:line:column: path: what; hint`.
    """
    return load_document(path)[0]


def load_document(path: Path) -> tuple[Settings, Document]:
    """As `load`, with the document, so that later findings can name their line too."""
    document = read_document(path)
    settings = document.validate(Settings, {FOLDER: path.resolve().parent})
    problems = [
        *_header_length(settings, document),
        *_keys(settings, document),
        *_time_budget(settings, document),
        *_one_shot_budget(settings, document),
        *_lines(settings, document),
        *_gaps(settings, document),
        *_terminals_distinct(settings, document),
        *_open_door(settings, document),
        *_amounts(settings, document),
        *_cutover(settings, document),
    ]
    if problems:
        raise ConfigProblems(problems)
    return settings, document


def check_environment(settings: Settings, document: Document | None = None) -> list[Problem]:
    """What this machine lacks: key files, folders. Empty when posd could start (a used port shows only then).

    `document` gives the findings their lines. Changes nothing; a folder that can be made is no problem.
    """
    found: list[tuple[Place, str, str]] = []
    try:
        load_machine_key(settings.machine_key_file)
    except ConfigError as error:
        found.append((("machine_key_file",), str(error), ""))
    for number, terminal in enumerate(settings.terminals):
        try:
            load_tmk(terminal.tmk_file, terminal.tid, SM4 if settings.host.sign_in == SM4_SIGN_IN else DES)
        except ConfigError as error:
            found.append((("terminals", number, "tmk_file"), str(error), ""))
    found += [(("state_dir",), *problem) for problem in _folder_problem(settings.state_dir)]
    found += [(("control_socket",), *problem) for problem in _folder_problem(settings.control_socket.parent)]
    if document is None:
        return [Problem("", 0, 0, shown_path(place), what, hint) for place, what, hint in found]
    return [document.problem(place, what, hint) for place, what, hint in found]


def shipped(name: str) -> Path:
    """A file that ships with posd, by its path in the project: "config/posd.example.yaml" (D39).

    In an installed wheel it lies below posd/shipped, in a checkout below the project's root.
    """
    here = Path(__file__).resolve().parent
    for folder in (here / "shipped", here.parent):
        if (folder / name).is_file():
            return folder / name
    raise ConfigError(f"{name}: does not ship with this posd; install it again")


def _header_length(settings: Settings, document: Document) -> list[Problem]:
    host = settings.host
    if len(host.header) == 2 * host.header_bytes:
        return []
    what = (
        f"{host.header_bytes} bytes are {2 * host.header_bytes} digits, but host.header "
        f"({document.place(('host', 'header'))}) has {len(host.header)}"
    )
    return [document.problem(("host", "header_bytes"), what, "make both agree")]


def _keys(settings: Settings, document: Document) -> list[Problem]:
    """The keys that a sign-in brings must be those that the MAC wants."""
    host = settings.host
    mac, sign_in = f"host.mac_algorithm ({host.mac_algorithm})", f"host.sign_in ({host.sign_in})"
    where = document.place(("host", "sign_in"))
    try:
        layout = layout_of(host.sign_in, host.mak, host.sm4_key_block)
    except KeyTrouble as error:
        return [document.problem(("host", "mak"), str(error), "write mak: single, or sign_in: 003 or 004")]
    algorithm = ALGORITHMS[host.mac_algorithm]
    if algorithm.sm4 and layout.cipher is not SM4:
        what = f"wants SM4 keys, but {sign_in}, {where}, brings DES keys"
        return [document.problem(("host", "mac_algorithm"), what, 'write sign_in: "006", or another algorithm')]
    if layout.cipher is SM4 and not algorithm.sm4:
        what = f"brings SM4 keys, but {mac} wants DES keys"
        return [document.problem(("host", "sign_in"), what, "write mac_algorithm: sm4-ecb or sm4-cbc")]
    if layout.mak_bytes not in algorithm.key_bytes:
        wanted = "double" if layout.mak_bytes == KEY_BYTES_SINGLE else "single"
        what = f"is {host.mak}, but {mac} wants a {wanted}-length MAK"
        return [document.problem(("host", "mak"), what, f"write mak: {wanted}, or another algorithm")]
    return []


def _time_budget(settings: Settings, document: Document) -> list[Problem]:
    host, door = settings.host, settings.door
    line_s = 2 * max((line.byte_s for line in _lines_of(door.listen)), default=0.0) * LINE_MESSAGE_BYTES
    needed_s = host.connect_timeout_s + host.reply_timeout_s + line_s
    if door.terminal_timeout_s > needed_s:
        return []
    connect, reply = (document.place(("host", name)) for name in ("connect_timeout_s", "reply_timeout_s"))
    what = (
        f"{door.terminal_timeout_s:g} s is not longer than host.connect_timeout_s ({host.connect_timeout_s:g} s, "
        f"{connect}) + host.reply_timeout_s ({host.reply_timeout_s:g} s, {reply})"
    )
    if line_s:
        what += f" + {line_s:.1f} s for question and answer on the serial line of door.listen"
    hint = f"the terminal would give up first: raise this above {needed_s:g}, or lower those"
    return [document.problem(("door", "terminal_timeout_s"), what, hint)]  # D17


def _one_shot_budget(settings: Settings, document: Document) -> list[Problem]:
    """With a connection for each message the reply limit has to hold connecting too."""
    host = settings.host
    if host.mode != "one_shot" or host.reply_timeout_s > host.connect_timeout_s:
        return []
    reply = f"host.reply_timeout_s ({host.reply_timeout_s:g} s, {document.place(('host', 'reply_timeout_s'))})"
    what = f"{host.connect_timeout_s:g} s is not shorter than {reply}"
    hint = "in mode one_shot the reply limit counts from before the connection: lower this, or raise that"
    return [document.problem(("host", "connect_timeout_s"), what, hint)]


def _lines(settings: Settings, document: Document) -> list[Problem]:
    """A serial line has one owner, and is given up before an answer from it is."""
    host, place = settings.host, ("host", "address")
    if not isinstance(host.address, SerialAddress):
        return []
    problems = []
    if host.address.device in [line.device for line in _lines_of(settings.door.listen)]:
        what = f"is also in door.listen ({document.place(('door', 'listen'))})"
        problems.append(document.problem(place, what, "a serial line has one peer: give each its own"))
    if host.mode == "one_shot":
        what = "is one_shot, but host.address is a serial line, which is opened once"
        problems.append(document.problem(("host", "mode"), what, "write mode: persistent"))
    give_up_s = host.address.give_up_s(LINE_MESSAGE_BYTES)
    if give_up_s >= host.reply_timeout_s:
        reply = f"host.reply_timeout_s ({host.reply_timeout_s:g} s, {document.place(('host', 'reply_timeout_s'))})"
        what = f"the line would repeat a frame for {give_up_s:.1f} s, not less than {reply}"
        hint = "a request must not be repeated after its reversal is owed: fewer retries, a shorter ack_timeout_s"
        problems.append(document.problem(place, what, hint))  # D2
    return problems


def _lines_of(addresses: Sequence[AnyAddress]) -> list[SerialAddress]:
    return [address for address in addresses if isinstance(address, SerialAddress)]


def _gaps(settings: Settings, document: Document) -> list[Problem]:
    problems = []
    for place, gaps in (
        (("host", "reconnect"), settings.host.reconnect),
        (("reversal", "retry"), settings.reversal.retry),
        (("settlement", "retry"), settings.settlement.retry),
    ):
        if gaps.first_s > gaps.max_s:
            longest = f"{'.'.join(place)}.max_s ({gaps.max_s:g} s, {document.place((*place, 'max_s'))})"
            what = f"{gaps.first_s:g} s is longer than {longest}"
            problems.append(document.problem((*place, "first_s"), what, "gaps grow from the first to the longest"))
    return problems


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
    """D28: what others on the network can reach must prove itself."""
    if all(address.is_local for address in settings.door.listen):
        return []
    where = document.place(("door", "listen"))
    what = f"must be required, because door.listen ({where}) can be reached from other machines"
    hint = 'write "mac: required", or listen on 127.0.0.1'
    return [
        document.problem(("terminals", number, "mac"), what, hint)
        for number, terminal in enumerate(settings.terminals)
        if terminal.mac != "required"
    ]


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


def _folder_problem(folder: Path) -> list[tuple[str, str]]:
    user = f"user id {os.geteuid()}"
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not existing.is_dir():
        return [(f"{existing} is a file, not a folder", "give another path, or move the file away")]
    if not os.access(existing, os.W_OK | os.X_OK):
        done = "written to" if existing == folder else "made"
        return [(f"{folder} cannot be {done} by {user}", f"run: chown posd {existing}, or run posd as its owner")]
    return []
