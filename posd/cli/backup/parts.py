"""What every command about backups needs: the settings with their place, and the keys that prove a backup."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from posd.config import load
from posd.daemon.assemble import DATA_KEYS_FOLDER
from posd.daemon.shown.offline import journal_folder
from posd.errors import ConfigError
from posd.journal.backups.making import Keys
from posd.journal.backups.manifest import Manifest, manifest_key
from posd.security.machine import MachineKey, load_machine_key
from posd.settings import Settings

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Parts:
    """The configuration, opened."""

    settings: Settings
    machine_key: MachineKey

    @property
    def journal(self) -> Path:
        return journal_folder(self.settings)

    @property
    def data_keys(self) -> Path:
        return self.settings.state_dir / DATA_KEYS_FOLDER

    @property
    def keys(self) -> Keys:
        """Derived for these two purposes."""
        chain = self.machine_key.derive("chain")
        return Keys(chain, manifest_key(chain))

    @property
    def path(self) -> Path:
        """Raises ConfigError: there is none."""
        if self.settings.backup.path is None:
            raise ConfigError("there is no backup.path in the configuration; give a folder on another disk")
        return self.settings.backup.path


def parts_of(config: Path) -> Parts:
    """Raises ConfigError."""
    settings = load(config)
    return Parts(settings, load_machine_key(settings.machine_key_file))


def distrust(manifest: Manifest, parts: Parts) -> str:
    """Why a manifest is not believed; empty: it was made under this machine key, as it is."""
    if manifest.is_authentic(parts.keys.manifest):
        return ""
    here = parts.machine_key.id
    if manifest.key_id != here:
        what = f"it was made under machine key {manifest.key_id[:16]}, here is {here}"
        return f"{what}: put that machine key in its place (machine_key_file)"
    return "its manifest was changed: it is not what posd wrote; use another backup"


def without(months: Iterable[str]) -> str:
    """What a person is told of a backup that has not all of the archive."""
    return f"without {', '.join(months)}: archived, and elsewhere when it was made, or damaged since; keep them well"


def size(count: int) -> str:
    """Bytes for a person."""
    return f"{count / MIB:,.1f} MiB"
