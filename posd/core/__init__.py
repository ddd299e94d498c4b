"""DECIDES. Pure: no asyncio, sockets, files, clocks, randomness or logging in this room.

Start at `engine.py`: handle(event, now) -> Draft. What happened is in `events.py`, what is true from now on
in `records.py`, what to do next in `effects.py`.
"""
