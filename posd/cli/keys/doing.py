"""Where a command about keys is done: in the running daemon, or beside a stopped one under the journal's lock."""

import asyncio
import os
from collections.abc import Mapping
from typing import Any

from posd.cli.screen import note
from posd.daemon.assemble import DATA_KEYS_FOLDER, JOURNAL_FOLDER
from posd.daemon.control.key_verbs import KeyVerbs
from posd.daemon.control.peer import Peer, who_is
from posd.daemon.control.server import NoDaemon, call
from posd.daemon.keys.beside import custody_beside
from posd.daemon.shown.views import View
from posd.settings import Settings

TOKEN_TIMEOUT_S = 60.0
"""A token may take its time over a key; nobody else waits for it."""


def do(settings: Settings, verb: str, args: Mapping[str, Any], *, quietly: bool = False) -> View:
    """What the daemon answers, or what was done beside it. Raises ConfigError, ControlFailed, KeyTrouble."""
    given = {name: value for name, value in args.items() if value is not None}
    try:
        return call(settings.control_socket, verb, given, timeout_s=TOKEN_TIMEOUT_S)
    except NoDaemon:
        if not quietly:
            note(f"no daemon answers on {settings.control_socket}; done beside it, under the journal's lock")
    data_keys, journal = settings.state_dir / DATA_KEYS_FOLDER, settings.state_dir / JOURNAL_FOLDER
    with custody_beside(settings, data_keys, journal) as custody:
        return asyncio.run(KeyVerbs(settings, custody).do(verb, given, str(who_is(Peer(os.geteuid())))))
