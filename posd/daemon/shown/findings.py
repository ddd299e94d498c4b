"""What of the views is not as it should be, and what a person can do about it.

Pure functions of what terminal_view.py shows: they decide nothing, and every text has a code and facts, for another
language.
"""

from collections.abc import Iterable

from posd.core.state import CloseOutcome, SettlementPhase
from posd.daemon.shown.reasons import about_keys
from posd.daemon.shown.views import View

ALERT, NOTE = "alert", "note"

MACHINE = {
    "disk_nearly_full": (
        ALERT,
        "the disk is nearly full: new sales are refused, reversals and settlement go on",
        "make room below state_dir; journal.free_bytes_min says how much",
    ),
    "token_out_of_reach": (
        ALERT,
        "the token with the keys is out of reach: what needs a key is refused, what is owed waits",
        "plug it in, or see why: posd keys list; posd logs in again by itself",
    ),
    "clock_unsynchronised": (
        NOTE,
        "nothing keeps this machine's clock in step",
        "start a time service, such as systemd-timesyncd or chrony",
    ),
    "card_keys_not_destroyed": (
        ALERT,
        "data keys whose time is over cannot be destroyed: their card numbers can still be read",
        "the alert in the log says where; if it is backup.keys_to: bring it back, or run posd backup create",
    ),
    "segments_not_here": (
        NOTE,
        "archived months are not here: what needs their rows is refused",
        "posd journal archives names them: put them back, or keep them well where they are",
    ),
}
"""Troubles of the machine itself, by the names of their alerts."""


def findings(view: View) -> list[View]:
    """What of a terminal's view is not as it should be: `code`, `level` ("alert" or "note"), `text`, `to_do`."""
    return [
        {"tid": view["tid"], **finding}
        for finding in (*_gap(view), *_money(view), *_settlement(view), *_session(view), *_lately(view))
    ]


def link_down(why: str) -> View:
    """The finding of a line that is down."""
    text = f"the line to the host is down{': ' if why else ''}{why}"
    return {"tid": None, **finding_of("link_down", NOTE, text, "posd connects again by itself", why=why)}


def machine_trouble(name: str) -> View:
    """The finding of a trouble of the machine itself, by the name of its alert (D24, D32)."""
    level, text, to_do = MACHINE[name]
    return {"tid": None, **finding_of(name, level, text, to_do)}


def daemon_down() -> View:
    """The finding of a journal that no daemon holds."""
    text = "posd is not running: nothing is sold, reversed or settled; this is what the journal says"
    return {"tid": None, **finding_of("daemon_down", ALERT, text, "start it: systemctl start posd, or posd run")}


LATELY_S = 72 * 3600
"""So long an alert that is over is noted: what happened on Saturday is still told on Monday."""

LATELY = {
    "request_key_reused": (
        "a till or a terminal used a known request key for another order, which was refused",
        "the till must take a new key (or trace number) for each order: ask who maintains it",
    ),
    "answered_from_a_closed_batch": (
        "a terminal asked again about a sale of a closed batch, and was given its old outcome",
        "if it meant a new sale, nothing was sold: look at the terminal's trace numbers",
    ),
    "number_of_a_closed_batch": (
        "a terminal used a number of a closed batch for another request, which was refused",
        "it was reset or replaced, and counts from 1: set its trace and invoice numbers above the last ones",
    ),
    "batch_number_was_closed_by_us": (
        "a person gave the open batch a number that posd has closed already",
        "ask the acquirer which batch is open at the host: posd settle --show says what was closed",
    ),
    "host_batch_number_was_closed_by_us": (
        "the host gave a batch number that posd has closed already",
        "ask the acquirer which batch is open at the host: posd settle --show says what was closed",
    ),
}
"""Alerts that leave nothing behind that `posd status` would show otherwise: what happened, and what to do."""


def _lately(view: View) -> Iterable[View]:
    for one in view["alerted"]:
        if one["alert"] in LATELY and one["age_s"] <= LATELY_S:
            text, to_do = LATELY[one["alert"]]
            told = f"{text} ({one['count']} time(s), last at {one['last_at']})"
            yield finding_of(one["alert"], NOTE, told, to_do, count=one["count"], last=one["last_at"])


def finding_of(code: str, level: str, text: str, to_do: str = "", **facts: object) -> View:
    """One finding; `facts` are what its text says, for another language."""
    return {"code": code, "level": level, "text": text, "to_do": to_do, "facts": facts}


WAITS_FOR = {
    "host": "the host has not told yet which batch it has open",
    "terminal": "the terminal has to sign in first",
    "person": "for tills a person has to say that nothing of before is ordered again",
}
"""What keeps new requests out after a restore."""


def _gap(view: View) -> Iterable[View]:
    """What a restored backup does not know (core/restored.py)."""
    gap = view["restore_gap"]
    if gap is None:
        return
    tid, stans, batches = view["tid"], gap["stans"], gap["batches"]
    numbers = f"trace numbers {stans['first']:06d} to {stans['last']:06d}"
    last = f"{batches['last']:06d}" if batches["last"] is not None else "?"
    text = (
        f"posd was restored from a backup of {gap['since']}: what was done until {gap['until']} is not known "
        f"({numbers}, batches {batches['first']:06d} to {last}); no settlement until a person ends this"
    )
    to_do = f"posd restore-gap list --tid {tid}; compare with the acquirer, then: posd restore-gap resolve --tid {tid}"
    facts = {"since": gap["since"], "until": gap["until"], "first": stans["first"], "last": stans["last"]}
    yield finding_of("restore_gap", ALERT, text, to_do, **facts, batches=f"{batches['first']:06d}-{last}")
    if gap["waits_for"]:
        why = "; ".join(WAITS_FOR[one] for one in gap["waits_for"])
        level = NOTE if gap["waits_for"] == ["person"] else ALERT
        to_do = f"a person may vouch for it: posd restore-gap admit --tid {tid} --by NAME --reason TEXT"
        yield finding_of("restore_waits", level, f"not everything is sold since the restore: {why}", to_do, why=why)
    if held := len(gap["held"]):
        text = f"{held} reversal(s) or advice(s) of the backup are held: nobody knows what became of them"
        yield finding_of("restore_held", ALERT, text, f"posd restore-gap list --tid {tid}", count=held)


def _money(view: View) -> Iterable[View]:
    listed = f"posd reversals list --tid {view['tid']}"
    owed = view["reversals"]
    if count := owed["conflict"]:
        text = f"{count} reversal(s) in conflict with the host: a person must end this"
        yield finding_of("reversals_conflict", ALERT, text, listed, count=count)
    if view["sales_blocked"]:
        text = f"no new sale is sent: {view['sales_blocked']} (reversal.on_stuck: block)"
        yield finding_of("sales_blocked", ALERT, text, f"{listed}; it says how to end it")
    if doubts := view["refunds_in_doubt"]:
        text = f"{len(doubts)} refund(s) in doubt: nobody knows whether the customer has the money"
        to_do = f"posd txn list --tid {view['tid']} --status in_doubt; then: posd txn resolve ID --happened yes|no"
        yield finding_of("refunds_in_doubt", ALERT, text, to_do, count=len(doubts))
    yield from _proposals(view)
    yield from _advices(view)
    yield from _scripts(view)
    if flagged := view["flagged_approvals"]:
        text = f"{len(flagged)} approval(s) with a reservation: the issuer has to confirm them"
        yield finding_of("approvals_flagged", NOTE, text, f"posd txn show {flagged[0]}", count=len(flagged))
    if count := owed["stuck"]:
        text = f"{count} reversal(s) stuck: still owed, somebody should look"
        yield finding_of("reversals_stuck", ALERT, text, listed, count=count)
    if count := owed["owed"]:
        yield finding_of("reversals_owed", NOTE, f"{count} reversal(s) owed, posd delivers them", listed, count=count)


def _proposals(view: View) -> Iterable[View]:
    for one in view["proposals"]:
        text = f"a second person is needed: {one['said_by']} wants to {one['text']}, {one['at_stake']}"
        if one["outgrown"]:
            text += f" (agreed to up to {one['up_to']}: the next word will be a first one again)"
        facts = {name: one[name] for name in ("deed", "choice", "at_stake", "said_by", "ends_at")}
        yield finding_of("second_person_needed", ALERT, f"{text}; until {one['ends_at']}", one["to_do"], **facts)


def _scripts(view: View) -> Iterable[View]:
    """Results of issuer scripts: no money hangs on them."""
    results, listed = view["script_results"], f"posd advices list --tid {view['tid']}"
    if count := results["refused"]:
        text = f"{count} issuer script result(s) that the host will not have; no money hangs on them"
        yield finding_of("script_results_refused", NOTE, text, listed, count=count)
    if count := results["owed"]:
        text = f"{count} issuer script result(s) to deliver, before anything else"
        yield finding_of("script_results_owed", NOTE, text, listed, count=count)
    if untold := view["scripts_not_told"]:
        text = f"{len(untold)} approval(s) with issuer scripts, of whose results the terminal has not told anything"
        to_do = f"posd txn show {untold[0]}; nothing is invented: look whether the terminal still owes them"
        yield finding_of("scripts_not_told", NOTE, text, to_do, count=len(untold))


def _advices(view: View) -> Iterable[View]:
    advices, listed = view["advices"], f"posd advices list --tid {view['tid']}"
    if count := advices["refused"]:
        text = f"{count} advice(s) refused by the host: the shop has the money or gave it, the acquirer says no"
        yield finding_of("advices_refused", ALERT, text, listed, count=count)
    if count := advices["doubtful"]:
        text = f"{count} advice(s) refused by the host, which may have booked them all the same"
        yield finding_of("advices_doubtful", ALERT, text, listed, count=count)
    if count := advices["stuck"]:
        text = f"{count} advice(s) stuck: still owed, somebody should look"
        yield finding_of("advices_stuck", ALERT, text, listed, count=count)
    if count := advices["owed"]:
        text = f"{count} advice(s) to deliver: after the next approval, and before the settlement"
        yield finding_of("advices_owed", NOTE, text, listed, count=count)


def _settlement(view: View) -> Iterable[View]:
    closing, last = view["settlement"], view["last_close"]
    decide = f"posd settle --tid {view['tid']} --decide closed|open --by NAME --reason TEXT"
    if closing["phase"] == SettlementPhase.UNCONFIRMED:
        text = "it is not known whether the host closed the batch; ask the acquirer"
        yield finding_of("settlement_unconfirmed", ALERT, text, decide)
    elif closing["number_refused"]:
        number = view["batch"]["number"]
        text = f"the host does not know batch {number:06d}; nothing is sold until its number is right"
        to_do = f"ask the acquirer, then: posd terminal batch {view['tid']} --number N --by NAME --reason TEXT"
        yield finding_of("batch_number_refused", ALERT, text, to_do, batch=number)
    elif closing["failing"]:
        why = "; ".join(blocker["text"] for blocker in closing["blocked_by"])
        text = f"the settlement fails again and again: {why}; nothing is sold until it is done"
        to_do = f"ask the acquirer whether the batch is closed; then: {decide}"
        yield finding_of("settlement_failing", ALERT, text, to_do, why=why, blocked_by=closing["blocked_by"])
    elif held := closing["held"]:
        text = f"the settlement is held: {held['gross']} is above the maximum of {held['maximum']}; sales go on"
        to_do = f"look at it, then: posd settle --tid {view['tid']} --approve --by NAME --reason TEXT"
        yield finding_of("settlement_held", ALERT, text, to_do, gross=held["gross"], maximum=held["maximum"])
    elif deferred := closing["deferred"]:
        below = f"{deferred['gross']} is below the minimum of {deferred['minimum']}"
        text = f"the settlement is deferred until {deferred['until']}: {below}"
        to_do = f"nothing; to settle at once: posd settle --tid {view['tid']}"
        yield finding_of("settlement_deferred", NOTE, text, to_do, **deferred)
    elif closing["late"]:
        since = closing["due_since"] or closing["begun_at"] or ""
        why = "; ".join(blocker["text"] for blocker in closing["blocked_by"])
        text = f"the settlement is late{' (due since ' + since + ')' if since else ''}{': ' if why else ''}{why}"
        to_do = f"when the cause is gone, posd settles by itself; to try at once: posd settle --tid {view['tid']}"
        yield finding_of("settlement_late", ALERT, text, to_do, since=since, why=why, blocked_by=closing["blocked_by"])
    if closing["cutover_near"]:
        at = closing["cutover_near"]
        text = f"the host cuts its day over at {at}, and this batch is not settled"
        yield finding_of("host_cutover_near", ALERT, text, f"settle now: posd settle --tid {view['tid']}", at=at)
    unbalanced = view["out_of_balance"]
    if unbalanced:
        yield _of_close(view, unbalanced, ALERT)
    if last and last["outcome"] == CloseOutcome.UNCONFIRMED:
        yield _of_close(view, last, NOTE)


def _of_close(view: View, close: View, level: str) -> View:
    text = f"batch {close['batch']:06d}: {close['text']}"
    to_do = f"compare with the acquirer: posd settle --show {close['batch']} --tid {view['tid']}"
    return finding_of("last_close", level, text, to_do, batch=close["batch"], outcome=close["outcome"])


def _session(view: View) -> Iterable[View]:
    if view["fenced"]:
        text = f"fenced, nothing is done for this terminal: {view['fenced']}"
        yield finding_of("fenced", ALERT, text, "restart posd; if it comes again, report it", why=view["fenced"])
    elif not view["signed_in"] and about_keys(view["signed_out_because"]):
        why = view["signed_out_because"]
        text = f"the keys do not fit the host's, nothing is sold until they do: {why}"
        to_do = (
            "compare the TMK (posd keys list), host.sign_in and host.mak with the acquirer; mend it, then restart posd"
        )
        yield finding_of("keys_wrong", ALERT, text, to_do, why=why)
    elif not view["signed_in"]:
        why = view["signed_out_because"]
        yield finding_of("signed_out", NOTE, f"not signed in: {why}", "posd signs in by itself", why=why)
    if failed := view["download_failed"]:
        why = failed["because"]
        text = f"the host's parameters could not be had ({failed['times']} time(s)): {why}"
        to_do = f"posd asks again by itself; to ask at once: posd terminal download {view['tid']}"
        yield finding_of("download_failed", NOTE, text, to_do, why=why, count=failed["times"])
