"""A process that writes a journal and says which rows are acknowledged; it is killed, limited or traced by tests."""

import argparse
import resource
import sys
from pathlib import Path
from typing import Any

from posd.errors import StorageFailed
from posd.journal.contract import RecordRow, Sealed
from posd.journal.opening import open_store


class PlainSealer:
    """Nothing secret is written here."""

    def seal(self, plain: bytes, aad: bytes, tid: str, batch: int) -> Sealed:
        return Sealed("00", b"", plain + aad)

    def open(self, sealed: Any, aad: bytes) -> bytes:
        return bytes(sealed.ciphertext.removesuffix(aad))


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("verb", choices=["write"])
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--file-bytes-max", type=int)
    arguments.add_argument("--commits", type=int, default=1_000_000)
    given = arguments.parse_args()
    store = open_store(
        *(given.folder, bytes(range(32)), bytes(range(32, 64)), PlainSealer()), ballast_bytes=4096, free_bytes_min=0
    )
    if given.file_bytes_max:
        resource.setrlimit(resource.RLIMIT_FSIZE, (given.file_bytes_max, given.file_bytes_max))
    try:
        for number in range(given.commits):
            row = RecordRow("12345678", "Approved", 1, number, f'{{"n":{store.head().sequence + 1}}}', secret=b"s")
            sys.stdout.write(f"{store.write([[row]])}\n")
            sys.stdout.flush()
            store.upkeep()
    except StorageFailed as error:
        sys.stderr.write(f"{error}\n")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
