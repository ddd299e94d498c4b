"""A snapshot's state as it is stored: compressed, because it says the same words for every transaction of a batch.

Without that the snapshots of many terminals would be most of what is written. The text that is stored is what the
chain key authenticates: nothing may be unpacked before that was checked.
"""

import zlib
from base64 import b64decode, b64encode

PACKED = "zlib:"
"""Before a packed state; a state itself is JSON and begins otherwise."""

LEVEL = 1
"""A higher one takes five times as long for a tenth less."""


def pack_state(state: str) -> str:
    """`state`: JSON. The text to store."""
    return PACKED + b64encode(zlib.compress(state.encode(), LEVEL)).decode("ascii")


def unpack_state(stored: str) -> str:
    """The JSON of an authentic stored text; one that is not packed is JSON already."""
    if not stored.startswith(PACKED):
        return stored
    return zlib.decompress(b64decode(stored.removeprefix(PACKED))).decode()
