"""Secret files: one hexadecimal key a file, readable by the service's own user alone.

Reading refuses, in one line that names the file and the remedy, whatever is missing, unreadable, open to
other users or malformed. It must never say a value, not even a part of a malformed one.
"""

import os
import pwd
import stat
from collections.abc import Collection
from pathlib import Path

from posd.errors import ConfigError

SECRET_FILE_BYTES_MAX = 256
"""More than any secret needs; a wrong path (a disk image, a log) is refused without being read."""

OPEN_TO_OTHERS = 0o077
OPEN_TO_OTHERS_BUT_ACL_MASK = 0o037
"""systemd grants the service its credentials by an ACL, whose mask shows as the group's read bit."""

HANDED_OVER_ROOT = Path("/run/credentials")
"""Where systemd keeps the credentials of running services, for root and each service's own user."""

SEALED_FOLDER = "sealed"
"""Beside the folder of the clear keys, by systemd/posd-sealed-keys.conf."""

FOLDER_MODE = 0o700
FILE_MODE = 0o600


def read_secret_hex(path: Path, digits: Collection[int], what: str) -> bytes:
    """The key in the file at `path`: hexadecimal, surrounding white space ignored, `digits` = permitted
    lengths.

    `what` names the secret in errors ("machine key", "TMK of 10000001"). Raises ConfigError, one line,
    without any of the content.
    """
    text = read_private(path, what).strip()
    wanted = " or ".join(str(length) for length in sorted(digits))
    if len(text) not in digits:
        raise ConfigError(f"{what}: {path}: {len(text)} characters; write {wanted} hexadecimal digits")
    if not all(byte in b"0123456789abcdefABCDEF" for byte in text):
        raise ConfigError(f"{what}: {path}: not hexadecimal; write {wanted} hexadecimal digits")
    return bytes.fromhex(text.decode("ascii"))


def write_new_secret(path: Path, content: bytes) -> None:
    """Create `path` with `content`, mode 0600, whole and durable (file and folder synced) or not at all.

    Raises FileExistsError rather than replace a secret, OSError when the disk refuses.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # unlike a rename, a link never replaces what is there
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def draft_of(path: Path) -> Path:
    """Where the next content of a secret is written before it takes its place; a kill may leave it there."""
    return path.with_name(f".{path.name}.next")


def replace_secret(path: Path, content: bytes) -> None:
    """Put `content` in the place of an existing secret, whole and durable or not at all. Raises OSError."""
    draft = draft_of(path)
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
    sync_folder(path.parent)


def refuse_if_open(path: Path, what: str) -> None:
    """For a secret that a library reads by its path. Raises ConfigError when it is missing or open to other users."""
    os.close(_open_private(path, what))


def read_private(path: Path, what: str, bytes_max: int = SECRET_FILE_BYTES_MAX) -> bytes:
    """The bytes of a file that only its owner can read. Raises ConfigError, one line, without any of them."""
    descriptor = _open_private(path, what)
    try:
        size = os.fstat(descriptor).st_size
        if size > bytes_max:
            raise ConfigError(f"{what}: {path}: {size} bytes, too long for a key file")
        return os.read(descriptor, bytes_max)
    finally:
        os.close(descriptor)


def _open_private(path: Path, what: str) -> int:
    """A descriptor of a regular file that nobody else can read; the caller closes it."""
    try:
        # O_NONBLOCK: a FIFO at the path must not hang the start
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigError(f"{what}: {path}: {_reason(error)}; {_remedy(path, error)}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{what}: {path}: not a regular file; give the path of the key file")
        if status.st_mode & _forbidden_bits(path):
            raise ConfigError(f"{what}: {path}: open to other users; run: chmod 600 {path}")
    except ConfigError:
        os.close(descriptor)
        raise
    return descriptor


def credentials_folder() -> Path | None:
    """Where the service manager put what it was told to hand over (systemd.exec(5)); None outside of a service."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(folder) if folder else None


def _is_credential(path: Path) -> bool:
    folder = credentials_folder()
    return folder is not None and path.is_relative_to(folder)


def is_handed_over(path: Path) -> bool:
    """Whether it is systemd's copy of a key: nothing can be written beside it, and it is gone when the service ends."""
    return _is_credential(path) or path.is_relative_to(HANDED_OVER_ROOT)


def _forbidden_bits(path: Path) -> int:
    return OPEN_TO_OTHERS_BUT_ACL_MASK if is_handed_over(path) else OPEN_TO_OTHERS


def _remedy(path: Path, error: OSError) -> str:
    if _is_credential(path):
        return "the service was not given it: put the file where LoadCredential= of the unit looks, and restart"
    sealed = path.parent.parent / SEALED_FOLDER / path.name
    if os.path.exists(sealed):
        return f"it is sealed ({sealed}): only the running service has it; start posd, or put the clear file back"
    if isinstance(error, PermissionError):
        return f"run this as root; or, if {_user()} is to run posd: chown {_user()} {path}, and let it into the folder"
    return "create it, mode 0600 and owned by posd's user"


def _user() -> str:
    """Who runs this."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _reason(error: OSError) -> str:
    return (error.strerror or "cannot be opened").lower()


def sync_folder(folder: Path) -> None:
    """What was made or removed in the folder is durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
