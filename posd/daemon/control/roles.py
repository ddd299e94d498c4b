"""Which role each verb of the control socket wants: the one table. A verb that is missing here is nobody's."""

from collections.abc import Mapping
from enum import StrEnum


class Role(StrEnum):
    """What somebody may do. Whoever has one of them may view."""

    VIEW = "view"
    OPERATE = "operate"
    APPROVE = "approve"
    KEYS = "keys"


ROLE_OF: Mapping[str, Role] = {
    "status": Role.VIEW,
    "routes": Role.VIEW,
    "txn.list": Role.VIEW,
    "txn.show": Role.VIEW,
    "reversals.list": Role.VIEW,
    "advices.list": Role.VIEW,
    "proposals.list": Role.VIEW,
    "gap.list": Role.VIEW,
    "settle": Role.OPERATE,
    "journal.archive": Role.OPERATE,
    "reversals.retry": Role.OPERATE,
    "advices.retry": Role.OPERATE,
    "settle.approve": Role.APPROVE,
    "settle.decide": Role.APPROVE,
    "reversals.resolve": Role.APPROVE,
    "advices.resolve": Role.APPROVE,
    "txn.resolve": Role.APPROVE,
    "keys.list": Role.KEYS,
    "keys.load": Role.KEYS,
    "keys.remove": Role.KEYS,
    "keys.rotate": Role.KEYS,
    "proposals.withdraw": Role.APPROVE,
    "gap.admit": Role.APPROVE,
    "gap.resolve": Role.APPROVE,
    "terminal.batch": Role.APPROVE,
    "terminal.download": Role.OPERATE,
}
"""Verb -> role. Reading views; what only hurries what is owed anyhow operates; a word that ends or decides approves."""
