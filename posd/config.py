"""The configuration file, read, and checked as a whole.

`load` refuses every contradiction before anything starts, all at once, each with its place; what only this machine can
tell is found by config_machine.py. Neither may change anything on disk.
"""

from collections.abc import Sequence
from datetime import time
from pathlib import Path

from posd.addresses import AnyAddress, HttpAddress, SerialAddress
from posd.bank import load_bank
from posd.config_machine import is_encrypted
from posd.dialects import NAC, UNIONPAY, UNIONPAY_ONLY
from posd.errors import ConfigError, KeyTrouble
from posd.iso8583.unionpay import PIN_BLOCK_BYTES
from posd.security.des import KEY_BYTES_SINGLE
from posd.security.keys import DES, SM4, layout_of
from posd.security.mac import ALGORITHMS
from posd.security.secretfile import credentials_folder
from posd.settings import (
    CREDENTIALS,
    FOLDER,
    AdviceRetry,
    ReconnectSettings,
    ReversalRetry,
    Route,
    Settings,
    SettlementRetry,
    TlsSettings,
)
from posd.values import format_amount
from posd.yamlmarks import ConfigProblems, Document, Place, Problem, read_document, shown_path

DAY_S = 86_400
LINE_MESSAGE_BYTES = 1_024
"""A long message with field 55: what a serial line is reckoned with."""

NO_MAC = "none"
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
    folder = path.resolve().parent
    _lay_bank_under(document, folder)
    settings = document.validate(Settings, {FOLDER: folder, CREDENTIALS: credentials_folder()})
    problems = [
        *_of_the_other_dialect(settings, document),
        *_terminal_keys(settings, document),
        *_unsigned(settings, document),
        *_header_length(settings, document),
        *_keys(settings, document),
        *_routes(settings, document),
        *_idle_limit(settings, document),
        *_time_budget(settings, document),
        *_one_shot_budget(settings, document),
        *_lines(settings, document),
        *_ways_to_host(settings, document),
        *_gaps(settings, document),
        *_terminals_distinct(settings, document),
        *_open_door(settings, document),
        *_till(settings, document),
        *_amounts(settings, document),
        *_cutover(settings, document),
    ]
    if problems:
        raise ConfigProblems(problems)
    return settings, document


def shipped(name: str) -> Path:
    """A file that ships with posd, by its path in the project: "config/posd.example.yaml" (D39).

    In an installed wheel it lies below posd/shipped, in a checkout below the project's root.
    """
    here = Path(__file__).resolve().parent
    for folder in (here / "shipped", here.parent):
        if (folder / name).is_file():
            return folder / name
    raise ConfigError(f"{name}: does not ship with this posd; install it again")


def _lay_bank_under(document: Document, folder: Path) -> None:
    """What the bank's file says of `host`, under what this one says itself. Raises ConfigProblems."""
    host = document.value.get("host") if isinstance(document.value, dict) else None
    if not isinstance(host, dict) or not isinstance(name := host.get("profile_file"), str) or not name:
        return
    bank, knobs = load_bank(folder / name)
    if host.get("profile", bank.base) != bank.base:
        what = f"is for profile: {bank.base}"
        raise ConfigProblems([document.problem(("host", "profile_file"), what, f"write profile: {bank.base}")])
    host["profile"] = bank.base
    for name, value in knobs.items():
        own = host.get(name)
        host[name] = {**value, **own} if isinstance(value, dict) and isinstance(own, dict) else host.get(name, value)


def _of_the_other_dialect(settings: Settings, document: Document) -> list[Problem]:
    """What this dialect has not is a mistake, not something to ignore."""
    host, given = settings.host, document.paths()
    wrong = sorted(UNIONPAY_ONLY) if host.profile == NAC else ["nac"]
    problems = [
        document.problem(("host", name), f"has no meaning with profile: {host.profile}", "remove it")
        for name in wrong
        if ("host", name) in given
    ]
    if host.profile == UNIONPAY and host.mac_algorithm == NO_MAC:
        what = "every UnionPay host wants a MAC"
        problems.append(document.problem(("host", "mac_algorithm"), what, "write mac_algorithm: unionpay-ecb"))
    if host.profile == NAC and host.nac.wire == "ascii" and host.mac_algorithm != NO_MAC:
        what = "the ASCII wire carries no MAC"
        problems.append(document.problem(("host", "nac", "wire"), what, "write wire: bcd, or mac_algorithm: none"))
    return problems


def _terminal_keys(settings: Settings, document: Document) -> list[Problem]:
    """A terminal needs its key where anything is signed or unwrapped with it."""
    host = settings.host
    if host.profile == NAC and host.mac_algorithm == NO_MAC:
        return [
            document.problem(
                ("terminals", number, "mac"), "there is no MAC with mac_algorithm: none", "write mac: none"
            )
            for number, terminal in enumerate(settings.terminals)
            if terminal.mac == "required"
        ]
    return [
        document.problem(("terminals", number, "tmk_file"), "the setting is missing", "see the example")
        for number, terminal in enumerate(settings.terminals)
        if terminal.tmk_file is None
    ]


def _unsigned(settings: Settings, document: Document) -> list[Problem]:
    """D28: refunds and typed numbers without a MAC come in by a line of this machine only, where somebody said so."""
    problems = []
    for number, terminal in enumerate(settings.terminals):
        place: Place = ("terminals", number, "unsigned")
        if terminal.unsigned == "refuse":
            continue
        if settings.host.profile == UNIONPAY:
            what = "is for profile: nac; a UnionPay terminal signs its requests"
            problems.append(document.problem(place, what, "remove it"))
        elif not all(address.is_local for address in settings.door.listen):
            what = f"door.listen ({document.place(('door', 'listen'))}) can be reached from other machines"
            problems.append(document.problem(place, what, "write unsigned: refuse, or listen on 127.0.0.1"))
    return problems


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
    if host.profile == NAC:
        return []
    mac, sign_in = f"host.mac_algorithm ({host.mac_algorithm})", f"host.sign_in ({host.sign_in})"
    where = document.place(("host", "sign_in"))
    try:
        layout = layout_of(host.sign_in, host.mak, host.sm4_key_block)
    except KeyTrouble as error:
        return [document.problem(("host", "mak"), str(error), "write mak: single, or sign_in: 003 or 004")]
    if host.mac_algorithm == NO_MAC:
        return []  # said elsewhere
    algorithm = ALGORITHMS[host.mac_algorithm]
    if algorithm.sm4 and layout.cipher is not SM4:
        what = f"wants SM4 keys, but {sign_in}, {where}, brings DES keys"
        return [document.problem(("host", "mac_algorithm"), what, 'write sign_in: "006", or another algorithm')]
    if layout.cipher is SM4 and not algorithm.sm4:
        what = f"brings SM4 keys, but {mac} wants DES keys"
        return [document.problem(("host", "sign_in"), what, "write mac_algorithm: sm4-ecb or sm4-cbc")]
    if host.sm4_pin_block_bytes != PIN_BLOCK_BYTES and layout.cipher is not SM4:
        what = f"is for SM4 keys, but {sign_in}, {where}, brings DES keys"
        return [document.problem(("host", "sm4_pin_block_bytes"), what, "write sm4_pin_block_bytes: 8")]
    if layout.mak_bytes not in algorithm.key_bytes:
        wanted = "double" if layout.mak_bytes == KEY_BYTES_SINGLE else "single"
        what = f"is {host.mak}, but {mac} wants a {wanted}-length MAK"
        return [document.problem(("host", "mak"), what, f"write mak: {wanted}, or another algorithm")]
    if host.track_encryption == "yes" and not (layout.has_tdk and layout.cipher is DES):
        brings = "none" if layout.cipher is DES else "SM4 keys, of which no source says how"
        what = f"wants a track key, but {sign_in}, {where}, brings {brings}"
        return [document.problem(("host", "track_encryption"), what, 'write sign_in: "004", or track_encryption: no')]
    return []


def _routes(settings: Settings, document: Document) -> list[Problem]:
    """One address, or routes with names of their own."""
    host = settings.host
    if not host.routes and host.address is None:
        return [document.problem(("host",), "neither address nor routes is given", 'write address: "10.0.0.1:5000"')]
    if host.routes and host.address is not None:
        what = f"stands beside host.address ({document.place(('host', 'address'))}), which is a route without a name"
        return [document.problem(("host", "routes"), what, "keep one of both")]
    problems, first = [], dict[str, int]()
    for number, route in enumerate(host.routes):
        before = first.setdefault(route.name, number)
        if before != number:
            where = document.place(("host", "routes", before, "name"))
            what = f"the route at {where} has the same name"
            problems.append(document.problem(("host", "routes", number, "name"), what, "give each a name of its own"))
    return problems


def _idle_limit(settings: Settings, document: Document) -> list[Problem]:
    """An idle line has to be used before the network takes it for dead; so has the proof that a route is good."""
    host, problems = settings.host, []
    if not host.idle_limit_s:
        return []
    where = document.place(("host", "idle_limit_s"))
    limit = f"host.idle_limit_s ({host.idle_limit_s:g} s, {where})"
    kept = any(one.mode == "persistent" and not isinstance(one.address, SerialAddress) for one in host.every_route())
    if kept and not 0 < host.echo_interval_s < host.idle_limit_s:
        what = f"{host.echo_interval_s:g} s is not shorter than {limit}" if host.echo_interval_s else "echoes are off"
        what = what if host.echo_interval_s else f"{what} (0), but idle lines are cut after {limit}"
        hint = f"write at most {host.idle_limit_s / 2:g}, or host.idle_limit_s: 0 if nothing cuts idle lines"
        problems.append(document.problem(("host", "echo_interval_s"), what, hint))
    if len(host.routes) > 1 and host.failover.good_for_s >= host.idle_limit_s:
        what = f"{host.failover.good_for_s:g} s is not shorter than {limit}: an idle route would be cut before"
        problems.append(document.problem(("host", "failover", "good_for_s"), what, "lower this"))
    return problems


def _time_budget(settings: Settings, document: Document) -> list[Problem]:
    host, door = settings.host, settings.door
    line_s = 2 * max((line.byte_s for line in _lines_of(door.listen)), default=0.0) * LINE_MESSAGE_BYTES
    needed_s = host.longest_connect_s + host.reply_timeout_s + line_s
    if door.terminal_timeout_s > needed_s:
        return []
    place = _says_connect(settings, host.longest_connect_s)
    connect, reply = document.place(place), document.place(("host", "reply_timeout_s"))
    what = (
        f"{door.terminal_timeout_s:g} s is not longer than {shown_path(place)} ({host.longest_connect_s:g} s, "
        f"{connect}) + host.reply_timeout_s ({host.reply_timeout_s:g} s, {reply})"
    )
    if line_s:
        what += f" + {line_s:.1f} s for question and answer on the serial line of door.listen"
    hint = f"the terminal would give up first: raise this above {needed_s:g}, or lower those"
    return [document.problem(("door", "terminal_timeout_s"), what, hint)]  # D17


def _one_shot_budget(settings: Settings, document: Document) -> list[Problem]:
    """With a connection for each message the reply limit has to hold connecting too."""
    host = settings.host
    one_shot = [route.connect_timeout_s for route in host.every_route() if route.mode == "one_shot"]
    longest_s = max(one_shot, default=0.0)
    if host.reply_timeout_s > longest_s:
        return []
    reply = f"host.reply_timeout_s ({host.reply_timeout_s:g} s, {document.place(('host', 'reply_timeout_s'))})"
    what = f"{longest_s:g} s is not shorter than {reply}"
    hint = "in mode one_shot the reply limit counts from before the connection: lower this, or raise that"
    return [document.problem(_says_connect(settings, longest_s), what, hint)]


def _says_connect(settings: Settings, seconds: float) -> Place:
    """Which setting says that an attempt to connect may take so long."""
    for number, route in enumerate(settings.host.routes):
        if route.connect_timeout_s == seconds:
            return ("host", "routes", number, "connect_timeout_s")
    return ("host", "connect_timeout_s")


def _lines(settings: Settings, document: Document) -> list[Problem]:
    """A serial line has one owner, and is given up before an answer from it is."""
    problems: list[Problem] = []
    taken = {line.device: f"door.listen ({document.place(('door', 'listen'))})" for line in _doors(settings)}
    for number, route in enumerate(settings.host.every_route()):
        at: Place = ("host",) if settings.host.address is not None else ("host", "routes", number)
        if not isinstance(route.address, SerialAddress):
            continue
        place, device = (*at, "address"), route.address.device
        if device in taken:
            what = f"is also in {taken[device]}"
            problems.append(document.problem(place, what, "a serial line has one peer: give each its own"))
        taken[device] = f"{shown_path(place)} ({document.place(place)})"
        problems += _line_of_route(settings, document, at, route, route.address)
    return problems


def _line_of_route(
    settings: Settings, document: Document, at: Place, route: Route, line: SerialAddress
) -> list[Problem]:
    host, problems = settings.host, []
    if route.mode == "one_shot":
        what = f"is one_shot, but {shown_path(at)}.address is a serial line, which is opened once"
        own = at if (*at, "mode") in document.paths() else ("host",)
        problems.append(document.problem((*own, "mode"), what, "write mode: persistent"))
    if route.bind is not None:
        problems.append(document.problem((*at, "bind"), "a serial line leaves by no network", "remove this"))
    give_up_s = line.give_up_s(LINE_MESSAGE_BYTES)
    if give_up_s >= host.reply_timeout_s:
        reply = f"host.reply_timeout_s ({host.reply_timeout_s:g} s, {document.place(('host', 'reply_timeout_s'))})"
        what = f"the line would repeat a frame for {give_up_s:.1f} s, not less than {reply}"
        hint = "a request must not be repeated after its reversal is owed: fewer retries, a shorter ack_timeout_s"
        problems.append(document.problem((*at, "address"), what, hint))  # D2
    return problems


def _doors(settings: Settings) -> list[SerialAddress]:
    return _lines_of(settings.door.listen)


def _lines_of(addresses: Sequence[AnyAddress]) -> list[SerialAddress]:
    return [address for address in addresses if isinstance(address, SerialAddress)]


def _ways_to_host(settings: Settings, document: Document) -> list[Problem]:
    """What the kind of each route's address demands and excludes."""
    problems: list[Problem] = []
    for number, route in enumerate(settings.host.every_route()):
        at: Place = ("host",) if settings.host.address is not None else ("host", "routes", number)
        for name, troubles in (("mode", _mode_trouble), ("tls", _tls_trouble)):
            place = (*_who_says(document, at, name), name)
            problems += [document.problem(place, *said) for said in troubles(route, document, at)]
    return list(dict.fromkeys(problems))  # of the host's own settings once, not once for each route


def _who_says(document: Document, at: Place, name: str) -> Place:
    """The route itself, or the host for all of them."""
    return at if (*at, name) in document.paths() else ("host",)


def _mode_trouble(route: Route, document: Document, at: Place) -> list[tuple[str, str]]:
    if not isinstance(route.address, HttpAddress) or route.mode == "one_shot":
        return []
    where = f"{shown_path((*at, 'address'))}, {document.place((*at, 'address'))}"
    return [(f"each message over HTTPS is a request of its own ({where})", 'write "mode: one_shot"')]


def _tls_trouble(route: Route, document: Document, at: Place) -> list[tuple[str, str]]:
    tls, troubles = route.tls, []
    own = _who_says(document, at, "tls") == at
    if tls != TlsSettings() and own and not is_encrypted(route):
        where = f"{shown_path((*at, 'address'))} ({document.place((*at, 'address'))})"
        troubles.append((f"{where} is not encrypted", 'write it as "tls://…" or "https://…", or remove this'))
    if (tls.certificate_file is None) != (tls.key_file is None):
        missing = "key_file" if tls.certificate_file else "certificate_file"
        troubles.append(("certificate and key belong together", f"write {missing} too, or remove the other"))
    return troubles


def _gaps(settings: Settings, document: Document) -> list[Problem]:
    problems = []
    own: list[tuple[Place, ReconnectSettings]] = [
        (("host", "routes", number, "reconnect"), route.reconnect)
        for number, route in enumerate(settings.host.routes)
        if route.reconnect is not None
    ]
    every: list[tuple[Place, ReconnectSettings | ReversalRetry | AdviceRetry | SettlementRetry]] = [
        (("host", "reconnect"), settings.host.reconnect),
        *own,
        (("reversal", "retry"), settings.reversal.retry),
        (("advice", "retry"), settings.advice.retry),
        (("settlement", "retry"), settings.settlement.retry),
    ]
    for place, gaps in every:
        if gaps.first_s > gaps.max_s:
            longest = f"{shown_path(place)}.max_s ({gaps.max_s:g} s, {document.place((*place, 'max_s'))})"
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


def _till(settings: Settings, document: Document) -> list[Problem]:
    """Card data goes over no network: the JSON door is a socket file, or loopback with a token."""
    till, problems = settings.till, []
    if till.listen is not None and not till.listen.is_loopback:
        hint = "listen on 127.0.0.1, or use till.socket; a proxy of yours may offer TLS beyond"
        problems.append(document.problem(("till", "listen"), "can be reached from other machines", hint))
    if till.listen is not None and till.token_file is None:
        hint = "write token_file: a file with 32 or more characters, mode 0600"
        problems.append(document.problem(("till", "listen"), "needs a token", hint))
    if till.token_file is not None and till.listen is None:
        hint = "remove it, or give till.listen; who may use the socket is said by its group"
        problems.append(document.problem(("till", "token_file"), "is of use for till.listen only", hint))
    if till.socket is not None and till.socket == settings.control_socket:
        problems.append(document.problem(("till", "socket"), "is the control socket", "give it a name of its own"))
    if till.listen is not None and till.listen in settings.door.listen:
        problems.append(document.problem(("till", "listen"), "is the terminals' door", "give it a port of its own"))
    return problems


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
