"""A configuration for `posd setup`: the example that ships, with the answers in the place of its values.

So whoever opens the file later finds every setting explained. It must never be given a key: keys have their own files.
"""

import json
import re
from dataclasses import dataclass

from posd.cli.setup.place import Place
from posd.config import shipped
from posd.errors import ConfigError

KEYS_BESIDE = "-keys"
"""After the folder of the backups: that of the data keys' copies, until a shop has a better place for them."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a shop says of itself. `host` as in host.address; `at`: times of day, HH:MM."""

    host: str
    tid: str
    mid: str
    at: tuple[str, ...] = ("23:00",)
    zone: str = "Asia/Shanghai"
    listen: str = "127.0.0.1:7000"
    till: str = ""
    """Where tills connect, "" for nowhere."""
    backup: str = ""
    """The folder of the backups, "" for none; copies of the data keys go beside it (backup.keys_to)."""


def configuration(wishes: Wishes, place: Place) -> str:
    """The text of the configuration file."""
    mode = "one_shot" if wishes.host.startswith(("https://", "http://")) else "persistent"
    values = {
        "state_dir: /var/lib/posd": f"state_dir: {place.state}",
        "control_socket: /run/posd/control.sock": f"control_socket: {place.control_socket}",
        "machine_key_file: /etc/posd/machine.key": "machine_key_file: credential:keys_machine.key",
        '  address: "10.0.0.1:5000"': f"  address: {_quoted(wishes.host)}",
        "  mode: persistent": f"  mode: {mode}",
        '  listen: "127.0.0.1:7000"': f"  listen: {_quoted(wishes.listen)}",
        '  at: ["23:00"]': f"  at: {json.dumps(wishes.at)}",
        "  zone: Asia/Shanghai": f"  zone: {_quoted(wishes.zone)}",
        '  - tid: "10000001"': f"  - tid: {_quoted(wishes.tid)}",
        '    mid: "898100012345678"': f"    mid: {_quoted(wishes.mid)}",
    }
    if wishes.till:
        values['  listen: ""'] = f"  listen: {_quoted(wishes.till)}"
        values['  token_file: ""'] = "  token_file: credential:keys_till.token"
    if wishes.backup:
        values['  path: ""'] = f"  path: {_quoted(wishes.backup)}"
        values['  keys_to: ""'] = f"  keys_to: {_quoted(wishes.backup.rstrip('/') + KEYS_BESIDE)}"
    text = shipped("config/posd.example.yaml").read_text(encoding="utf-8")
    for old, new in values.items():
        text = _replaced(text, old, new)
    return _without_own_times(text)


def _quoted(text: str) -> str:
    """JSON is YAML: nothing that is typed can become a second setting."""
    return json.dumps(text, ensure_ascii=False)


def _replaced(text: str, old: str, new: str) -> str:
    """The one line that begins with `old`; its comment stays."""
    changed, count = re.subn(f"^{re.escape(old)}(?=\\s|$)", lambda _: new, text, flags=re.MULTILINE)
    if count != 1:
        raise ConfigError(f"the example that ships has {count} lines {old.strip()!r}; install posd again")
    return changed


def _without_own_times(text: str) -> str:
    """The terminal settles when the shop does."""
    return re.sub(r"^    settlement:.*\n(?:      .*\n)+", "", text, flags=re.MULTILINE)
