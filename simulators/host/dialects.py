"""Which acquirer speaks which dialect: the one place of the simulated host that knows both."""

from simulators.host.acquirer import Acquirer
from simulators.host.nac_acquirer import NacAcquirer
from simulators.host.settings import HostSettings

AnyAcquirer = Acquirer | NacAcquirer


def open_acquirer(settings: HostSettings, seed: int = 0) -> AnyAcquirer:
    """The acquirer of `profile`, with empty books."""
    return NacAcquirer(settings, seed) if settings.profile == "nac" else Acquirer(settings, seed)
