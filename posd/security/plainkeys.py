"""Test keys: a TMK in a file in the clear. Only for a host on this machine; posd/config refuses it elsewhere."""

from pathlib import Path

from posd.security.keys import DES, SM4, ClearTmk, KeyCipher
from posd.security.secretfile import read_secret_hex


def load_tmk(path: Path, tid: str, cipher: KeyCipher = DES) -> ClearTmk:
    """The TMK of terminal `tid`: 16 or 32 hexadecimal digits (SM4: 32), mode 0600. Raises ConfigError, one line."""
    digits = {2 * length for length in cipher.tmk_bytes}
    return ClearTmk(read_secret_hex(path, digits, f"TMK of terminal {tid}"), of_sm4=cipher is SM4)
