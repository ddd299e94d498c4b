"""An acquirer to test against: a pure, stateful host (acquirer.py) under a thin server (server.py).

It is a second reading of the protocol reference, on purpose: it shares only bytes, frames and words with posd
(D37), so a misunderstanding shows up as a disagreement instead of agreeing with itself.
"""
