"""What root makes for the service's user has to belong to that user, or the service could not go on with it."""

import os
from contextlib import suppress
from pathlib import Path


def give_to_owner(folder: Path, like: Path) -> None:
    """Everything in `folder` belongs to who owns `like`, if root asks; nobody else can give anything away."""
    if os.geteuid() != 0:
        return
    owner = like.stat()
    for root, folders, files in os.walk(folder):
        for path in (root, *(os.path.join(root, name) for name in (*folders, *files))):
            status = os.lstat(path)
            if (status.st_uid, status.st_gid) != (owner.st_uid, owner.st_gid):
                with suppress(PermissionError):  # a share that knows one owner only
                    os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
