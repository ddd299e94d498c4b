"""The EMV tags of field 55: what they are called, and whether their value may be shown. Data only."""

from collections.abc import Mapping
from types import MappingProxyType

_SHOWN = {
    "4F": "application id",
    "50": "application label",
    "82": "application interchange profile",
    "84": "dedicated file name",
    "8A": "authorisation response code",
    "91": "issuer authentication data",
    "95": "terminal verification results",
    "9A": "transaction date",
    "9B": "transaction status information",
    "9C": "transaction type",
    "5F2A": "transaction currency",
    "9F01": "acquirer id",
    "9F02": "amount authorised",
    "9F03": "amount other",
    "9F06": "application id (terminal)",
    "9F07": "application usage control",
    "9F08": "application version (card)",
    "9F09": "application version (terminal)",
    "9F0D": "issuer action code default",
    "9F0E": "issuer action code denial",
    "9F0F": "issuer action code online",
    "9F10": "issuer application data",
    "9F12": "application preferred name",
    "9F15": "merchant category",
    "9F16": "merchant id",
    "9F1A": "terminal country",
    "9F1C": "terminal id",
    "9F1E": "interface device serial",
    "9F21": "transaction time",
    "9F26": "application cryptogram",
    "9F27": "cryptogram information",
    "9F33": "terminal capabilities",
    "9F34": "cardholder verification results",
    "9F35": "terminal type",
    "9F36": "application transaction counter",
    "9F37": "unpredictable number",
    "9F39": "entry mode",
    "9F40": "additional terminal capabilities",
    "9F41": "transaction sequence counter",
    "9F53": "transaction category",
    "9F63": "card product identification",
    "9F6C": "card transaction qualifiers",
    "9F74": "electronic cash issuer authorisation code",
    "DF31": "issuer script results",
    "DF32": "chip serial",
}

_MASKED = {
    "56": "track 1 equivalent data",
    "57": "track 2 equivalent data",
    "5A": "application PAN",
    "5F20": "cardholder name",
    "5F24": "application expiry date",
    "5F30": "service code",
    "5F34": "PAN sequence number",
    "71": "issuer script 1",
    "72": "issuer script 2",
    "86": "issuer script command",
    "99": "transaction PIN data",
    "9F0B": "cardholder name extended",
    "9F1F": "track 1 discretionary data",
    "9F20": "track 2 discretionary data",
    "9F6B": "track 2 data",
}

TAG_NAMES: Mapping[str, str] = MappingProxyType(_SHOWN | _MASKED)
"""Names of known tags, by upper-case hex."""

SHOWN_TAGS = frozenset(_SHOWN)
"""Tags whose values may be shown; every other tag, known or not, is masked."""
