"""The languages that the people of a shop may choose."""

import os
from enum import StrEnum

from posd.errors import ConfigError


class Lang(StrEnum):
    """The languages that a shop may choose."""

    EN = "en"
    ZH = "zh"


def preferred() -> Lang:
    """The language of the user's locale."""
    locale = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := os.environ.get(name))), "")
    return Lang.ZH if locale.lower().startswith("zh") else Lang.EN


def chosen(name: str | None) -> Lang:
    """The language of that name; None: that of the locale. Raises ConfigError."""
    if name is None:
        return preferred()
    if name not in list(Lang):
        raise ConfigError(f"--lang takes {' or '.join(Lang)}")
    return Lang(name)
