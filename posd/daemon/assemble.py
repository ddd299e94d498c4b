"""The only place that knows the concrete classes: settings in, a daemon out, an exit status at the end.

Exit status: 0 stopped as told; 2 the configuration, the keys, the place on disk or a port cannot be used; 3 the journal
failed, or posd found itself wrong. Every text is one line.
"""

import asyncio
import gc
import itertools
import os
import random
import resource
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from posd.addresses import Address, AnyAddress, SerialAddress, TlsAddress
from posd.config import load_document
from posd.config.keyhome import key_store, tmk_of
from posd.config.machine import check_environment
from posd.core.engine import Engine
from posd.core.rules import Rules
from posd.core.state import State
from posd.core.station import STATION, Station
from posd.daemon.archive.beside import Archivist
from posd.daemon.clock import SystemClock, synchronised
from posd.daemon.control.access import Access, alert_unknown
from posd.daemon.control.key_verbs import KeyVerbs
from posd.daemon.control.server import ControlServer
from posd.daemon.control.verbs import Control
from posd.daemon.daemon import Daemon
from posd.daemon.dialect import profile_of as profile_of
from posd.daemon.doors.all_doors import Door, Doors
from posd.daemon.doors.connections import HALF_OPEN_MAX
from posd.daemon.doors.serial_door import SerialDoor
from posd.daemon.doors.terminal_door import TerminalDoor
from posd.daemon.keys.custody import Custody
from posd.daemon.keys.rotation import Rotation
from posd.daemon.lane import Lane
from posd.daemon.links.backoff import Backoff
from posd.daemon.links.linking import routes_of
from posd.daemon.log import alert, log, set_up, take_over_strays
from posd.daemon.lost import refuse_lost
from posd.daemon.moved import refuse_moved
from posd.daemon.notify import Notifier
from posd.daemon.recover import Recovered, configured_away, known, owes, recover, sign_out
from posd.daemon.reload import Reload
from posd.daemon.renewal import Renewal, door_context
from posd.daemon.retention import Batches, OfLane, OfRemoved, Retention, vouched_ms
from posd.daemon.router import DoorSide, Exits, HostSide, Lanes
from posd.daemon.rules import rules_of
from posd.daemon.runner import LaneRunner, StationRunner
from posd.daemon.snapshots import keep_removed_near
from posd.daemon.station_lane import StationLane
from posd.daemon.undumped import never_dump
from posd.errors import ConfigError, KeyTrouble, PosdError
from posd.journal.connect import SCHEMA_VERSION
from posd.journal.opening import open_store
from posd.journal.sqlite import SqliteStore
from posd.journal.writer import Writer
from posd.masks import show_bin
from posd.profiles.contract import Profile, Terminal
from posd.security.keystore import KeyStore
from posd.security.machine import MachineKey, load_machine_keys
from posd.security.vault import DataKeys
from posd.settings import Settings, TerminalSettings
from posd.values import Now, Tid
from posd.yamlmarks import ConfigProblems

DATA_KEYS_FOLDER = "keys"
"""Below the state folder, and outside the journal's database and backups (D29)."""

JOURNAL_FOLDER = "journal"

DOOR_IDLE_S = 3600.0
"""A terminal that says nothing for so long is hung up on; it may come back at any time."""

LINE_FIRST_S, LINE_MAX_S = 0.5, 10.0
"""Gaps between attempts to open a serial door again: whoever puts an adapter back waits no longer than that."""

FILES_BESIDE_CONNECTIONS = 256
"""The journal, the line, the control socket's clients, and connections that are being turned away."""


def run(config_path: Path) -> int:
    """`posd run`: the daemon until it is told to stop. Returns the exit status."""
    try:
        never_dump()
        settings, document = load_document(config_path)
        problems = check_environment(settings, document)
        if problems:
            raise ConfigProblems(problems)
        set_up(settings.log.format, settings.log.level)
        take_over_strays()
        _never_wait_for_readers(sys.stdout.fileno())
        _allow_files(_files_needed(settings))
        return asyncio.run(_live(settings, config_path))
    except ConfigError as error:
        return _say(error, 2)
    except PosdError as error:
        return _say(error, 3)


def _files_needed(settings: Settings) -> int:
    one_shot = sum(route.mode == "one_shot" for route in settings.host.every_route())
    to_host = 2 * one_shot * settings.host.connections_max  # those for late answers beside
    tills = 2 * settings.till.connections_max  # on each of its sockets
    tcp_doors = sum(not isinstance(address, SerialAddress) for address in settings.door.listen)
    half_open = HALF_OPEN_MAX * sum(isinstance(address, TlsAddress) for address in settings.door.listen)
    return tcp_doors * settings.door.connections_max + half_open + tills + to_host + FILES_BESIDE_CONNECTIONS


def _allow_files(count: int) -> None:
    """So many open files as the door may need; the service manager's limit is often lower than its own ceiling."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= count:
        return
    if hard != resource.RLIM_INFINITY and hard < count:
        raise ConfigError(
            f"door.connections_max needs {count} open files, but the limit is {hard}; "
            "lower door.connections_max, or raise LimitNOFILE (ulimit -n)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def _never_wait_for_readers(descriptor: int) -> None:
    """A pipe that nobody empties must not stop the work on money: the log drops lines instead (log.Lines)."""
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind):
        os.set_blocking(descriptor, False)


def _say(error: PosdError, status: int) -> int:
    for line in str(error).splitlines():
        print(f"posd: {line}", file=sys.stderr)
    return status


async def _live(settings: Settings, config_path: Path) -> int:
    daemon = assemble(settings, config_path)
    gc.freeze()  # what is there now lives as long as posd: looking through all of it again takes 30 ms each time
    await daemon.live()
    return 0


def assemble(settings: Settings, config_path: Path | None = None) -> Daemon:
    """Everything, recovered and connected, not yet started. Raises ConfigError, StorageFailed.

    `config_path`: where the settings are read again at SIGHUP; None: nowhere.
    """
    clock = SystemClock()
    show_bin(settings.cards.bin_digits)
    machine_keys = load_machine_keys(settings.machine_key_file)
    _make_folder(settings.state_dir, 0o700)
    _make_folder(settings.control_socket.parent, 0o755)
    if settings.till.socket is not None:
        _make_folder(settings.till.socket.parent, 0o755)
    keys = DataKeys(settings.state_dir / DATA_KEYS_FOLDER, *machine_keys)
    store, notifier = store_of(settings, machine_keys[0], keys), Notifier()
    store.on_progress = lambda: notifier.starting("reading the journal")
    try:
        tmks = key_store(settings, *machine_keys)
        daemon = _assemble(settings, clock, machine_keys, store, keys, tmks, notifier, config_path)
        store.on_progress = lambda: None
        return daemon
    except BaseException:
        notifier.close()
        store.close()
        raise


def _make_folder(folder: Path, mode: int) -> None:
    try:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise ConfigError(f"{folder}: the folder cannot be made: {why}; give another path") from None


def _assemble(
    settings: Settings,
    clock: SystemClock,
    machine_keys: tuple[MachineKey, ...],
    store: SqliteStore,
    keys: DataKeys,
    tmks: KeyStore,
    notifier: Notifier,
    config_path: Path | None,
) -> Daemon:
    profile = profile_of(settings)
    first_rules = rules_of(settings, settings.terminals[0], profile)
    removed = _refuse_forgotten(settings, store, first_rules)
    writer = Writer(store)
    exits = Exits()
    digest_key = machine_keys[0].derive("digest")
    table = _lanes(settings, profile, store, tmks, writer, exits, clock, digest_key)
    station = Station(settings.journal.unreadable_per_minute_max)
    table.station = runner = StationRunner(StationLane(station, profile), writer, exits, clock.now)
    host_side = HostSide(table)
    link = exits.link = host_side.link = routes_of(settings.host, host_side, clock.now)
    door_side = DoorSide(table, clock.now)
    doors = exits.doors = door_side.doors = _doors(settings, door_side, clock.now)
    daemon = Daemon(settings, clock, store, writer, table, link, doors, notifier)
    batches: dict[Tid, Batches] = {tid: OfLane(runner) for tid, runner in table.lanes.items()}
    batches |= {state.tid: OfRemoved(state, first_rules, writer, clock.now) for state in removed}
    daemon.retention = Retention(
        keys,
        settings.state_dir / DATA_KEYS_FOLDER,
        settings.backup.keys_to,
        settings.cards.numbers_kept_days,
        batches,
        lambda: vouched_ms(clock.now(), synchronised(), table.lanes.values()),
    )
    daemon.keys, daemon.remember = tmks, runner.remember
    rotating = Rotation(keys, tmks, machine_keys, runner.remember)
    custody = Custody(settings, tmks, runner.remember, clock.now)
    zone = settings.schedule_of(settings.terminals[0]).zone
    daemon.archivist = Archivist(store, writer, table.lanes, clock, zone, runner.remember)
    access = Access(settings.access, table.tell_station)
    alert_unknown(settings)
    control = Control(daemon, access, KeyVerbs(settings, custody, rotating), daemon.archivist)
    daemon.control = ControlServer(settings.control_socket, control.handle, control.verbs)
    if settings.till.is_on:
        from posd.daemon.till.service import TillService  # h11 and its like are for those who have tills (D38)

        seen = (control, digest_key, writer.head_sequence, clock.now)
        daemon.till = exits.till = TillService(settings, table, *seen, table.tell_station)
    if config_path is not None:
        renewal = Renewal(profile, table, link, doors, access, daemon)
        daemon.reload = Reload(config_path, daemon, renewal.prepare)
    return daemon


def _lanes(
    settings: Settings,
    profile: Profile,
    store: SqliteStore,
    tmks: KeyStore,
    writer: Writer,
    exits: Exits,
    clock: SystemClock,
    digest_key: bytes,
) -> Lanes:
    """Each configured terminal's, recovered."""
    table = Lanes(profile, len(bytes.fromhex(settings.host.header)))
    unasked_max = settings.journal.unreadable_per_minute_max
    for configured in settings.terminals:
        terminal = _terminal(settings, configured, tmks)
        recovered = _recovered(settings, store, terminal, profile, clock.now().wall_ms)
        engine = Engine(rules_of(settings, configured, profile), recovered.state)
        highest = store.highest_request(terminal.tid)
        lane = Lane(terminal, engine, profile, digest_key, store.secret, highest, unasked_max)
        table.lanes[terminal.tid] = LaneRunner(
            lane, writer, exits, clock.now, recovered.fenced, recovered.snapshot_sequence
        )
    return table


def _recovered(settings: Settings, store: SqliteStore, terminal: Terminal, profile: Profile, at_ms: int) -> Recovered:
    """The state of a configured terminal, signed out if its TMK is no longer the one that its keys came under."""
    recovered = recover(store, terminal.tid, at_ms, settings.host.nac.batch_number_first)
    if recovered.fenced:
        alert("lane_fenced", tid=terminal.tid, because=recovered.fenced)
        return recovered
    session = recovered.state.session
    if not session.signed_in or session.wrapped_keys is None:
        return recovered
    if because := profile.keys_trouble(terminal, session):
        alert("held_keys_do_not_open", tid=terminal.tid, because=because)
        state = sign_out(store, recovered.state, f"the held keys do not open: {because}", at_ms)
        return replace(recovered, state=state)
    return recovered


def store_of(settings: Settings, machine_key: MachineKey, keys: DataKeys) -> SqliteStore:
    """The journal that the settings name, locked for this process. Raises ConfigError, StorageFailed."""
    journal = settings.state_dir / JOURNAL_FOLDER
    refuse_lost(journal, settings.backup.path, machine_key.derive("chain"))
    keys.require_folder()
    store = open_store(
        journal,
        machine_key.derive("chain"),
        machine_key.derive("digest"),
        keys,
        ballast_bytes=settings.journal.ballast_bytes,
        free_bytes_min=settings.journal.free_bytes_min,
    )
    if store.upgraded_from:
        log.info("journal_upgraded", before=store.upgraded_from, now=SCHEMA_VERSION, no_way_back=True)
    try:
        refuse_moved(journal)
    except BaseException:
        store.close()
        raise
    return store


def _terminal(settings: Settings, terminal: TerminalSettings, tmks: KeyStore) -> Terminal:
    try:
        tmk = tmk_of(settings, terminal, tmks)
    except KeyTrouble as error:
        raise ConfigError(str(error)) from None
    unsigned = terminal.unsigned == "accept"
    return Terminal(Tid(terminal.tid), terminal.mid, tmk, terminal.mac == "required", unsigned)


def _refuse_forgotten(settings: Settings, store: SqliteStore, rules: Rules) -> list[State]:
    """D35: a terminal cannot be configured away while it has an open batch or owes anything. Those that were."""
    configured, removed = {terminal.tid for terminal in settings.terminals}, []
    for tid in store.tids():
        if tid in configured or tid == STATION:
            continue
        recovered = known(store, Tid(tid))
        why = (recovered.fenced or owes(recovered.state, rules)) if recovered is not None else ""
        if why:
            raise ConfigError("; ".join(configured_away(tid, why)))
        if recovered is not None:
            keep_removed_near(store, recovered)
            removed.append(recovered.state)
    return removed


def _doors(settings: Settings, listener: DoorSide, now: Callable[[], Now]) -> Doors:
    numbers = itertools.count(1)
    return Doors([_door(settings, address, listener, numbers, now) for address in settings.door.listen])


def _door(
    settings: Settings, address: AnyAddress, listener: DoorSide, numbers: Iterator[int], now: Callable[[], Now]
) -> Door:
    door = settings.door
    if isinstance(address, SerialAddress):
        backoff = Backoff(LINE_FIRST_S, LINE_MAX_S, random.Random())
        return SerialDoor(address, listener, door.frame_bytes_max, backoff, numbers)
    limits = (door.connections_max, door.frame_bytes_max, DOOR_IDLE_S)
    if isinstance(address, Address):
        return TerminalDoor(address.host, address.port, listener, *limits, numbers)
    bound = door.tls.client_ca_file is not None and door.tls.client_name == "tid"
    encrypted = TerminalDoor(address.host, address.port, listener, *limits, numbers, bound=bound)
    encrypted.encrypt(door_context(door.tls), now)
    return encrypted
