"""A TMK in its sealed file, as `posd keys load` leaves it, for tests whose host is elsewhere."""

from posd.config.keyhome import cipher_of, key_store, signs_itself
from posd.security.keystore import KeyInfo, NewTmk
from posd.security.machine import load_machine_key
from posd.settings import Settings

TMK = "0123456789ABCDEFFEDCBA9876543210"


def seal_tmk(settings: Settings, tid: str, index: int = 0, digits: str = TMK) -> KeyInfo:
    store = key_store(settings, load_machine_key(settings.machine_key_file))
    key, signs = bytes.fromhex(digits), signs_itself(settings)
    return store.add(NewTmk(tid, index, key, cipher_of(settings), ("Li Na", "Wang Wei"), 1_772_463_630_000, signs))
