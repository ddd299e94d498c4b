"""The NAC acquirer of simulators.host as the world's host, and oracle (host.py)."""

from collections.abc import Mapping
from typing import ClassVar

from simulators.host.nac_acquirer import NacAcquirer
from simulators.host.nac_request import APPROVE_CODES
from simulators.host.settings import HostSettings
from simulators.world.host import Host

REFUSALS: Mapping[str, tuple[str, ...]] = {
    "0100": ("05", "51", "61", "91", "96", "30", "10"),
    "0200": ("05", "51", "61", "91", "96", "30", "10", "94"),
    "0220": ("05", "61", "91", "96", "30"),
    "0400": ("96", "91", "06", "30"),
    "0420": ("96", "91", "06", "30"),
    "0500": ("96", "91", "80"),
    "0320": ("96", "91"),
    "0800": ("96", "91"),
}
"""What it may refuse with: nothing that would deny money that moved, or a batch that it closed."""


class NacHost(Host):
    """The host of a shop that speaks NAC."""

    refusals: ClassVar[Mapping[str, tuple[str, ...]]] = REFUSALS
    approvals: ClassVar[frozenset[str]] = APPROVE_CODES

    def _open(self, settings: HostSettings) -> NacAcquirer:
        return NacAcquirer(settings, self.stage.seed)

    def _has(self, tid: str, stan: int) -> bool:
        return any(stan in batch.entries for batch in self.acquirer.books.terminals[tid].batches)
