"""The simulated world: one seed is one or more shop-days of posd, its terminals, its line and its host, no clock.

Real lanes, a real dialect and real bytes over a journal in memory; a line, a machine and a host that fail; and an audit
of the money at the end. It is what posd's promises are tested against (testing.md T1, T2, T13).
"""

from simulators.world.faults import Faults
from simulators.world.plan import Plan
from simulators.world.scene import Outcome, run

__all__ = ["Faults", "Outcome", "Plan", "run"]
