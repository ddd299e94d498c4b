"""The configuration file, read, and checked as a whole.

`load` refuses every contradiction before anything starts, all at once, each with its place; what only this machine can
tell is found by machine.py. Neither may change anything on disk.
"""

from pathlib import Path

from posd.bank import load_bank
from posd.config import access, dialect, keeping, keyhome, shop, ways
from posd.errors import ConfigError
from posd.security.secretfile import HANDED_OVER_ROOT, credentials_folder
from posd.settings import (
    CREDENTIALS,
    FOLDER,
    HANDED_OVER,
    Settings,
)
from posd.yamlmarks import ConfigProblems, Document, Problem, read_document

SERVICES_FOLDER = Path("/etc")
"""Where the folders of the units that ship are: /etc/posd, /etc/posd-NAME."""


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
    context: dict[str, object] = {FOLDER: folder, CREDENTIALS: credentials_folder(), HANDED_OVER: _handed_over(folder)}
    settings = document.validate(Settings, context)
    if problems := contradictions(settings, document):
        raise ConfigProblems(problems)
    return settings, document


def contradictions(settings: Settings, document: Document) -> list[Problem]:
    """What several settings together get wrong."""
    checks = (dialect.check, keyhome.check, ways.check, shop.check, access.check, keeping.check)
    return [problem for check in checks for problem in check(settings, document)]


def shipped(name: str) -> Path:
    """A file that ships with posd, by its path in the project: "config/posd.example.yaml" (D39).

    In an installed wheel it lies below posd/shipped, in a checkout below the project's root.
    """
    here = Path(__file__).resolve().parents[1]
    for folder in (here / "shipped", here.parent):
        if (folder / name).is_file():
            return folder / name
    raise ConfigError(f"{name}: does not ship with this posd; install it again")


def _handed_over(folder: Path) -> Path | None:
    """Where systemd keeps what it gave to the running service of this folder: posd.service, or an instance's."""
    name, _, instance = folder.name.partition("-")
    if folder.parent != SERVICES_FOLDER or name != "posd":
        return None
    return HANDED_OVER_ROOT / (f"posd@{instance}.service" if instance else "posd.service")


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
