"""Where a command about keys is done: in the running daemon, or beside a stopped one under the journal's lock."""

import asyncio
from collections.abc import Mapping
from typing import Any

from posd.cli.screen import note
from posd.daemon.control.peer import this_user
from posd.daemon.control.server import NoDaemon, call
from posd.daemon.keys.beside import key_verbs_beside
from posd.daemon.shown.views import View
from posd.settings import Settings

PATIENCE_S = 600.0
"""A token may take its time over a key, and a rotation over its files; nobody else waits for them."""


def do(settings: Settings, verb: str, args: Mapping[str, Any], *, quietly: bool = False) -> View:
    """What the daemon answers, or what was done beside it. Raises ConfigError, ControlFailed, KeyTrouble."""
    given = {name: value for name, value in args.items() if value is not None}
    try:
        return call(settings.control_socket, verb, given, timeout_s=PATIENCE_S)
    except NoDaemon:
        if not quietly:
            note(f"no daemon answers on {settings.control_socket}; done beside it, under the journal's lock")
    asked_by = str(this_user())  # before root acts as the service's user
    with key_verbs_beside(settings) as verbs:
        return asyncio.run(verbs.do(verb, given, asked_by))
