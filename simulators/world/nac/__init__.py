"""The world in which shops speak NAC / Hypercom (reference 2): the same machine, line and chance, and the NAC host's
books as the oracle.

`run(seed)` as in scene.py. What the dialect cannot tell, the audit names: no message says its batch, so a host that is
reached by a doubled or late request after the close books it in its next batch.
"""

from simulators.world.nac.scene import run as run
