"""The settings of posd: their names, types, defaults and limits, as frozen models.

Durations are in seconds and end in `_s`, sizes in bytes and say so. What one value alone can get wrong is
said here, in the form `what; hint`; what several say together is in posd/config. No text here may echo a
value.
"""

from posd.addresses import Address as Address
from posd.settings.access import (
    PROXIED as PROXIED,
)
from posd.settings.access import (
    AccessSettings as AccessSettings,
)
from posd.settings.access import (
    Grantee as Grantee,
)
from posd.settings.host import (
    BindSettings as BindSettings,
)
from posd.settings.host import (
    HostSettings as HostSettings,
)
from posd.settings.host import (
    ReconnectSettings as ReconnectSettings,
)
from posd.settings.host import (
    Route as Route,
)
from posd.settings.host import (
    RouteSettings as RouteSettings,
)
from posd.settings.host import (
    TlsSettings as TlsSettings,
)
from posd.settings.keeping import (
    BackupSettings as BackupSettings,
)
from posd.settings.shop import (
    AdviceRetry as AdviceRetry,
)
from posd.settings.shop import (
    DoorTlsSettings as DoorTlsSettings,
)
from posd.settings.shop import (
    KeySettings as KeySettings,
)
from posd.settings.shop import (
    LogSettings as LogSettings,
)
from posd.settings.shop import (
    ReversalRetry as ReversalRetry,
)
from posd.settings.shop import (
    Schedule as Schedule,
)
from posd.settings.shop import (
    Settings as Settings,
)
from posd.settings.shop import (
    SettlementRetry as SettlementRetry,
)
from posd.settings.shop import (
    TerminalSettings as TerminalSettings,
)
from posd.settings.shop import (
    TerminalSettlement as TerminalSettlement,
)
from posd.settings.shop import (
    TillSettings as TillSettings,
)
from posd.settings.types import (
    CREDENTIALS as CREDENTIALS,
)
from posd.settings.types import (
    FOLDER as FOLDER,
)
from posd.settings.types import (
    HANDED_OVER as HANDED_OVER,
)
from posd.settings.types import (
    SUCCESS_CODE as SUCCESS_CODE,
)
from posd.settings.types import (
    ResponseCode as ResponseCode,
)
from posd.settings.types import (
    Section as Section,
)
