"""The marker of a restore that is under way: while it stands beside the journal's folder, posd does not start."""

from pathlib import Path

from posd.errors import ConfigError


def marker_of(journal: Path) -> Path:
    """Where it stands."""
    return journal.with_name(f"{journal.name}.restoring")


def require_no_restore(journal: Path) -> None:
    """Raises ConfigError while a restore of this journal is under way, or was ended half way."""
    if marker_of(journal).exists():
        raise ConfigError(
            f"journal: {journal}: a backup is being restored here, or that was ended half way; "
            "run posd backup restore again"
        )
