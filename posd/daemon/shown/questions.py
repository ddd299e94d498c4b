"""The verbs that only read: status, lists, and one transaction. Asked of a running daemon's adopted states, or of
states folded from the journal, they give the same answers.

It must never change anything, and never answer a question that it did not understand: an argument that is unknown or
of the wrong type is an error that says what is right.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from posd.core.state import UNENDED, Advice, Reversal, State, Transaction, TxnStatus
from posd.daemon.links.route_choice import Health
from posd.daemon.logmask import mask_text
from posd.daemon.shown import views
from posd.daemon.shown.advice_views import advice_view
from posd.daemon.shown.certificate_view import OF_THE_LINE
from posd.daemon.shown.findings import ALERT, findings
from posd.daemon.shown.gap_view import gap_view
from posd.daemon.shown.proposal_views import proposal_about, proposal_id, proposal_views, transaction_shown
from posd.daemon.shown.terminal_view import terminal_view
from posd.daemon.shown.views import Around, View
from posd.errors import ConfigError
from posd.values import BATCH_NUMBER_MAX, RequestId, Tid

QUESTIONS: Mapping[str, Mapping[str, type]] = {
    "status": {"tid": str},
    "txn.list": {"tid": str, "batch": int, "status": str, "limit": int},
    "txn.show": {"id": str},
    "reversals.list": {"tid": str, "ended": bool},
    "routes": {},
    "advices.list": {"tid": str, "ended": bool},
    "gap.list": {"tid": str},
    "proposals.list": {"tid": str},
}
"""Verb -> its arguments, none of them mandatory but txn.show's."""

TRANSACTIONS_MAX = 5_000
"""What one txn.list shows at most, the newest."""
NAMED_MAX = 8
"""Candidates that are named when an id fits several transactions."""
SHOWN_CHARACTERS_MAX = 40


@dataclass(frozen=True, slots=True)
class Seen:
    """One terminal as it is: None when the journal has nothing of it yet."""

    state: State | None
    around: Around


Everything = Mapping[Tid, Seen]


def version() -> str:
    """The version of posd that is installed."""
    try:
        return metadata.version("posd")
    except metadata.PackageNotFoundError:
        return "unknown"


class NotFound(ConfigError):
    """No such transaction in what was looked through; an older one may stand in the journal."""


def checked(verb: str, args: Mapping[str, Any], known: Mapping[str, type]) -> Mapping[str, Any]:
    """`args` without the absent ones. Raises ConfigError: an unknown argument, or one of the wrong type."""
    given = {name: value for name, value in args.items() if value is not None}
    for name, value in given.items():
        if name not in known:
            near = difflib.get_close_matches(name[:SHOWN_CHARACTERS_MAX], known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known) or 'none'}"
            raise ConfigError(f"{verb}: unknown argument {shown(name)}; {hint}")
        if type(value) is not known[name]:
            kind = {str: "a text", int: "a whole number", bool: "true or false"}[known[name]]
            raise ConfigError(f"{verb}: argument {name!r} must be {kind}")
    return given


def shown(text: str) -> str:
    """A given text, safe to repeat in an error: a person may give a card number for a name."""
    text = mask_text(text)
    return repr(text if len(text) <= SHOWN_CHARACTERS_MAX else text[:SHOWN_CHARACTERS_MAX] + "…")


def chosen(everything: Everything, tid: str | None) -> list[tuple[Tid, Seen]]:
    """The terminal `tid`, or all. Raises ConfigError: there is no such terminal."""
    if tid is None:
        return list(everything.items())
    seen = everything.get(Tid(tid))
    if seen is None:
        raise no_terminal(tid, everything)
    return [(Tid(tid), seen)]


def no_terminal(tid: str, known: Mapping[Tid, object]) -> ConfigError:
    """The error for a TID that is not ours."""
    near = difflib.get_close_matches(tid, known, n=1)
    names = ", ".join(list(known)[:NAMED_MAX]) + (", …" if len(known) > NAMED_MAX else "")
    hint = f"did you mean {near[0]}?" if near else f"the configuration has {names or 'none'}"
    return ConfigError(f"no terminal {shown(tid)}; {hint}")


def answer(verb: str, args: Mapping[str, Any], everything: Everything, posd: View) -> View:
    """The answer to one of QUESTIONS; `posd` is of the whole, with its `findings`. Raises ConfigError."""
    given = checked(verb, args, QUESTIONS[verb])
    match verb:
        case "status":
            return _status(given, everything, posd)
        case "txn.list":
            return _list(given, everything)
        case "txn.show":
            return _show(given, everything)
        case "routes":
            return _routes(posd)
        case "advices.list":
            return _advices(given, everything)
        case "gap.list":
            return _gaps(given, everything)
        case "proposals.list":
            return _proposals(given, everything)
        case _:
            return _reversals(given, everything)


def _status(given: Mapping[str, Any], everything: Everything, posd: View) -> View:
    """`good` is false when a finding needs a person."""
    terminals, found = [], list(posd["findings"])
    for tid, seen in chosen(everything, given.get("tid")):
        if seen.state is None:
            terminals.append({"tid": tid, "empty": True})
            continue
        view = terminal_view(seen.state, seen.around)
        terminals.append(view)
        found += findings(view)
    return {
        "good": not any(finding["level"] == ALERT for finding in found),
        "posd": {name: value for name, value in posd.items() if name not in ("findings", "routes")},
        "terminals": terminals,
        "findings": found,
    }


def _routes(posd: View) -> View:
    """`good` is false when one is not up, or will not be for long: a spare line is needed when nobody looks."""
    findings = [one for one in posd["findings"] if one["facts"].get("role") in OF_THE_LINE]
    return {
        "good": all(route["state"] == Health.UP for route in posd["routes"]) and not findings,
        "findings": findings,
        "running": posd["running"],
        "active": posd["route"],
        "routes": posd["routes"],
    }


def list_filters(given: Mapping[str, Any]) -> tuple[int | None, str | None, int]:
    """Batch, status and limit of a txn.list. Raises ConfigError."""
    batch, status = given.get("batch"), given.get("status")
    limit = min(given.get("limit", TRANSACTIONS_MAX), TRANSACTIONS_MAX)
    if batch is not None and not 1 <= batch <= BATCH_NUMBER_MAX:
        raise ConfigError(f"txn.list: a batch number is 1 to {BATCH_NUMBER_MAX}")
    if status is not None and status not in [known.value for known in TxnStatus]:
        raise ConfigError(f"txn.list: unknown status {shown(status)}; one of {', '.join(TxnStatus)}")
    if limit < 1:
        raise ConfigError("txn.list: the limit must be 1 or more")
    return batch, status, limit


def _list(given: Mapping[str, Any], everything: Everything) -> View:
    batch, status, limit = list_filters(given)
    found: list[tuple[Transaction, State, Around]] = []
    for _, seen in chosen(everything, given.get("tid")):
        for txn in views.every_transaction(seen.state) if seen.state else ():
            if batch in (None, txn.batch_number) and status in (None, txn.status.value):
                assert seen.state is not None
                found.append((txn, seen.state, seen.around))
    found.sort(key=lambda one: one[0].at_ms)
    newest = found[-limit:]
    return {
        "transactions": [views.transaction_view(*one) for one in newest],
        "left_out": len(found) - len(newest),
        "gaps": _gaps({"tid": given.get("tid")}, everything)["gaps"],
    }


def _show(given: Mapping[str, Any], everything: Everything) -> View:
    """`transaction` is None when the states do not have it: the journal may, if it is older."""
    try:
        state, around, txn = find_one("txn.show", given.get("id", ""), everything)
    except NotFound:
        return {"transaction": None}
    return {"transaction": transaction_shown(txn, state, around)}


def find_one(verb: str, name: str, everything: Everything) -> tuple[State, Around, Transaction]:
    """The one transaction that `name` names. Raises ConfigError: none, or several (they are named); NotFound: none."""
    if not name:
        raise ConfigError(f"{verb}: give an id: a request id, an RRN, or TID/STAN")
    found = [
        (seen.state, seen.around, txn)
        for seen in everything.values()
        if seen.state is not None
        for txn in views.named(seen.state, name)
    ]
    if not found:
        raise NotFound(f"no transaction {shown(name)}; an id is a request id, an RRN, or TID/STAN: see 'posd txn list'")
    if len(found) > 1:
        names = ", ".join(txn.request_id for _, _, txn in found[:NAMED_MAX])
        raise ConfigError(f"{shown(name)} fits {len(found)} transactions; say which: {names}")
    return found[0]


def _reversals(given: Mapping[str, Any], everything: Everything) -> View:
    """Those that are not ended; with `ended`, also the ended ones that the state still remembers."""
    found = []
    for _, seen in chosen(everything, given.get("tid")):
        for reversal in seen.state.reversals.values() if seen.state else ():
            if given.get("ended") or reversal.status in UNENDED:
                assert seen.state is not None
                found.append((reversal, seen.state, seen.around))
    found.sort(key=lambda one: one[0].owed_at_ms)
    return {"reversals": [{**views.reversal_view(*one), "proposal": _about(*one)} for one in found]}


def _about(owed: Reversal | Advice, state: State, around: Around) -> View | None:
    return proposal_about(owed.request_id, state, around)


def _advices(given: Mapping[str, Any], everything: Everything) -> View:
    """Those that are owed, stuck or refused; with `ended`, also the ended ones that the state still remembers."""
    found = []
    for _, seen in chosen(everything, given.get("tid")):
        for advice in seen.state.advices.values() if seen.state else ():
            assert seen.state is not None
            if given.get("ended") or not seen.state.is_over(advice):
                found.append((advice, seen.state, seen.around))
    found.sort(key=lambda one: one[0].stored_at_ms)
    return {"advices": [{**advice_view(*one), "proposal": _about(*one)} for one in found]}


def _gaps(given: Mapping[str, Any], everything: Everything) -> View:
    """What is not known since a restore, of each terminal that has a gap; with what of it is held."""
    found: list[View] = []
    for tid, seen in chosen(everything, given.get("tid")):
        view = gap_view(seen.state, seen.around) if seen.state is not None else None
        if view is None:
            continue
        owed = [*_reversals({"tid": tid}, everything)["reversals"], *_advices({"tid": tid}, everything)["advices"]]
        found.append({**view, "held": [one for one in owed if one["request_id"] in view["held"]]})
    return {"good": not found, "gaps": found}


def _proposals(given: Mapping[str, Any], everything: Everything) -> View:
    """What waits for a second person."""
    every = chosen(everything, given.get("tid"))
    found = [view for _, seen in every if seen.state for view in proposal_views(seen.state, seen.around)]
    return {"proposals": sorted(found, key=lambda view: str(view["at"]))}


@dataclass(frozen=True, slots=True)
class NamedProposal:
    """One that waits; `about`: its request, None: the settlement of the terminal."""

    id: str
    tid: Tid
    about: RequestId | None


def find_proposal(verb: str, name: str, everything: Everything) -> NamedProposal:
    """The one that `name` names. Raises ConfigError, which names those that there are."""
    every = [(tid, one) for tid, seen in everything.items() if seen.state for one in seen.state.proposals.values()]
    named = {(of := proposal_id(tid, one.about)): NamedProposal(of, tid, one.about) for tid, one in every}
    if name not in named:
        hint = f"there are: {', '.join(list(named)[:NAMED_MAX])}" if named else "nothing waits for a second person"
        raise ConfigError(f"{verb}: no proposal {shown(name)}; {hint}")
    return named[name]
