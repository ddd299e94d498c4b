"""Watches a token: that it went away, and that it is back, are recorded, alerted and shown.

It also is what logs in again. Nothing else may: whoever needs a key has no time for it.
"""

import asyncio

from posd.core.records.keys import TokenChanged
from posd.daemon.keys.custody import Remember
from posd.security.keystore import KeyStore

LOOK_S = 5.0


async def watch_token(store: KeyStore, remember: Remember) -> None:
    """For ever."""
    reachable = True
    while True:
        await asyncio.sleep(LOOK_S)
        now = await asyncio.to_thread(store.look)
        if now != reachable:
            reachable = now
            await remember(TokenChanged(now, store.because))
