"""The demo's audit can fail: each kind of lie, in each of the three witnesses, is a finding and names its check."""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from posd.cli.demo.audit import Check, money_checks, rows
from posd.cli.demo.canary import Canary, bytes_canary, digits_canary, holds, search
from posd.cli.demo.evidence import read_evidence
from posd.cli.demo.facts import Settled
from posd.cli.demo.plan import OPENING_BALANCE_MINOR, TID, TMK_HEX, make_plan
from posd.cli.demo.proof import proof_checks
from posd.cli.demo.stage import Folder, host_configuration
from posd.core import records as r
from posd.core.answers import AnswerFacts, GroupCount, GroupResult, HostTotals, Totals
from posd.core.payload import dump_record, record_name, record_version
from posd.core.rules import TxnKind, Why
from posd.core.state import CloseOutcome, Evidence, SettlementCause
from posd.journal.contract import MessageRow, RecordRow, Row
from posd.journal.opening import open_store
from posd.security.machine import create_machine_key
from posd.security.vault import DataKeys
from posd.values import BatchNumber, CardRef, Minor, RequestId, Rrn, Stan, Tid

PLAN = make_plan(1)
CARD = PLAN.cards[0]
BATCH, NEXT_BATCH, LAST_BATCH = 7, 8, 9
TERMINAL_BATCH = 41
DUE_MS = 1_795_000_000_000
SALE, VOIDED, VOID, LOST, LATER, REFUND = 2, 3, 4, 5, 20, 19
AMOUNTS = {SALE: 1_000, VOIDED: 250, VOID: 250, LOST: 4_000, LATER: 77, REFUND: 50}
DEBIT = GroupCount(1_250, 2, 250, 1)
LATER_DEBIT = GroupCount(77, 1, 50, 1)
SETTLED = [Settled("schedule", DUE_MS, "agreed"), Settled("operator", None, "out_of_balance", "Li Na")]
ALERTS = ["settlement_out_of_balance", "refund_in_doubt"]

Json = dict[str, Any]


KINDS = {VOID: TxnKind.VOID, REFUND: TxnKind.REFUND}


def request_id(stan: int) -> RequestId:
    kind = "200000" if stan in (VOID, REFUND) else "000000"
    return RequestId(f"{TID}/{TERMINAL_BATCH:06d}/{stan + 100:06d}/{mti(stan)}/{kind}")


def mti(stan: int) -> str:
    return "0220" if stan == REFUND else "0200"


def rrn(stan: int) -> Rrn:
    return Rrn(f"{stan:012d}")


def started(stan: int, batch: int = BATCH) -> r.AuthorisationStarted:
    return r.AuthorisationStarted(
        request_id=request_id(stan),
        kind=KINDS.get(stan, TxnKind.SALE),
        amount_minor=Minor(AMOUNTS[stan]),
        stan=Stan(stan),
        batch_number=BatchNumber(batch),
        terminal_batch=TERMINAL_BATCH,
        terminal_stan=Stan(stan + 100),
        fingerprint="f",
        entry_mode="022",
        card=CardRef(CARD.masked, "digest"),
        original=request_id(VOIDED) if stan == VOID else None,
    )


def approved(stan: int) -> r.Approved:
    return r.Approved(request_id(stan), AnswerFacts("00", rrn(stan), scheme="CUP"))


def lost() -> list[r.Record]:
    of = request_id(LOST)
    return [
        started(LOST),
        r.OutcomeUnknown(of, Why.TIMEOUT),
        r.ReversalOwed(of, Why.TIMEOUT, "98"),
        r.ReversalAttempted(of, 1, "98"),
        r.ReversalAcknowledged(of, "00"),
    ]


def sign_in(stan: int, batch: int) -> list[r.Record]:
    return [r.SignInStarted(Stan(stan), False), r.SignedIn(Stan(stan), f"{stan:02d}", BatchNumber(batch), 0)]


def close() -> list[r.Record]:
    totals = Totals(DEBIT)
    balanced = HostTotals(totals, GroupResult.BALANCED, GroupResult.BALANCED)
    return [
        r.SettlementBegun(SettlementCause.SCHEDULE, DUE_MS),
        r.TotalsAsked(Stan(10), totals, 1),
        r.TotalsAnswered(balanced, ()),
        r.TrailerSent(Stan(11), 0, 1),
        r.BatchClosed(CloseOutcome.AGREED, totals, BatchNumber(NEXT_BATCH)),
    ]


def doubtful() -> list[r.Record]:
    of = request_id(REFUND)
    resolved = r.RefundResolved(of, True, Evidence.PERSON, "Li Na", "on the acquirer's list")
    return [started(REFUND, NEXT_BATCH), r.RefundInDoubt(of, Why.TIMEOUT), resolved]


def unbalanced_close() -> list[r.Record]:
    totals = Totals(LATER_DEBIT)
    host = HostTotals(totals, GroupResult.UNBALANCED, GroupResult.BALANCED)
    return [
        r.SettlementWanted(SettlementCause.OPERATOR, "Li Na"),
        r.SettlementHeld(127, 100, None),
        r.SettlementApproved("Li Na", "slips checked", 127),
        r.SettlementBegun(SettlementCause.OPERATOR, None),
        r.TotalsAsked(Stan(21), totals, 1),
        r.TotalsAnswered(host, (request_id(REFUND), request_id(LATER))),
        r.UploadSent(Stan(22), 0, 2, 1),
        r.UploadAcknowledged(2),
        r.TrailerSent(Stan(23), 2, 1),
        r.BatchClosed(CloseOutcome.OUT_OF_BALANCE, totals, BatchNumber(LAST_BATCH)),
    ]


def day() -> list[r.Record]:
    sales: list[r.Record] = []
    for stan in (SALE, VOIDED, VOID):
        sales += [started(stan), approved(stan)]
    opened = r.LaneOpened(Tid(TID), Stan(1), BatchNumber(1))
    first, second = sign_in(1, BATCH), sign_in(12, NEXT_BATCH)
    last = [*doubtful(), started(LATER, NEXT_BATCH), approved(LATER), *unbalanced_close(), *sign_in(24, LAST_BATCH)]
    return [opened, *first, *sales, *lost(), *close(), *second, *last]


def booked(stan: int, state: str, *, kind: str = "sale", original: int | None = None) -> Json:
    numbers = {"stan": stan, "amount": AMOUNTS[stan], "requested": AMOUNTS[stan], "original_stan": original}
    times = {"times_reversed": int(state == "reversed"), "times_asked": 1, "at_ms": 0}
    words = {"mti": mti(stan), "kind": kind, "card": CARD.masked, "foreign": False, "rrn": rrn(stan), "code": "00"}
    return {**numbers, **times, **words, "state": state}


def books() -> Json:
    nothing = {"debit_minor": 0, "debit_count": 0, "credit_minor": 0, "credit_count": 0}
    domestic = {"debit_minor": 1_250, "debit_count": 2, "credit_minor": 250, "credit_count": 1}
    settlement = {
        "groups": {
            "domestic": {"asked": domestic, "ours": domestic, "result": 1},
            "foreign": {"asked": nothing, "ours": nothing, "result": 1},
        },
        **ended("207", 0),
    }
    closed = {
        "number": BATCH,
        "state": "closed",
        "transactions": [
            booked(SALE, "approved"),
            booked(VOIDED, "voided"),
            booked(VOID, "approved", kind="sale_void", original=VOIDED),
            booked(LOST, "reversed"),
        ],
        "totals": {"domestic": domestic, "foreign": nothing},
        "settlements": [settlement],
    }
    later = {"debit_minor": 77, "debit_count": 1, "credit_minor": 50, "credit_count": 1}
    groups = {
        "domestic": {"asked": later, "ours": later, "result": 2},
        "foreign": {"asked": nothing, "ours": nothing, "result": 1},
    }
    unbalanced = {
        "number": NEXT_BATCH,
        "state": "closed",
        "transactions": [booked(REFUND, "approved", kind="refund"), booked(LATER, "approved")],
        "totals": {"domestic": later, "foreign": nothing},
        "settlements": [{"groups": groups, **ended("202", 2)}],
    }
    empty = {"domestic": nothing, "foreign": nothing}
    opened = {"number": LAST_BATCH, "state": "open", "transactions": [], "totals": empty, "settlements": []}
    batches = [closed, unbalanced, opened]
    terminal = {"tid": TID, "batches": batches, "remarks": [], "reversed_unknown": [], "sign_ins": 3}
    balances = {card.masked: OPENING_BALANCE_MINOR for card in PLAN.cards}
    balances[CARD.masked] -= AMOUNTS[SALE] + AMOUNTS[LATER] - AMOUNTS[REFUND]
    return {"terminals": [terminal], "cards": [{"card": card, "balance": has} for card, has in balances.items()]}


def ended(code: str, uploaded: int) -> Json:
    counts = {"uploaded": uploaded, "matched": uploaded, "end_count": uploaded}
    return {**counts, "end_code": code, "end_count_agrees": True, "differences": []}


def told(stan: int, outcome: str = "approved", code: str = "00") -> Json:
    known = rrn(stan) if outcome == "approved" else None
    numbers = {"stan": stan + 100, "batch": TERMINAL_BATCH, "amount": AMOUNTS[stan]}
    do = {VOID: "void", REFUND: "refund"}.get(stan, "sale")
    return {**numbers, "do": do, "outcome": outcome, "code": code, "rrn": known}


def told_lines() -> list[Json]:
    settle = {"do": "settle", "stan": 120, "batch": TERMINAL_BATCH, "outcome": "balanced", "code": "00"}
    return [
        told(SALE),
        told(VOIDED),
        told(VOID),
        told(LOST, "declined", "98"),
        settle,
        told(REFUND, "declined", "98"),
        told(LATER),
    ]


LOG = """{"event": "ready", "level": "info"}
{"event": "refund_in_doubt", "level": "warning", "alert": true}
{"event": "settlement_out_of_balance", "level": "warning", "alert": true}
"""


@dataclass
class World:
    """What the three write down; changed by a test before it is audited."""

    folder: Folder
    records: list[r.Record] = field(default_factory=day)
    books: Json = field(default_factory=books)
    told: list[Json] = field(default_factory=told_lines)
    staged: list[tuple[str, tuple[int, int], str | None]] = field(
        default_factory=lambda: [("lost_answer", (TERMINAL_BATCH, LOST + 100), "timeout")]
    )

    def batch(self) -> Json:
        batch: Json = self.books["terminals"][0]["batches"][0]
        return batch

    def transactions(self) -> list[Json]:
        transactions: list[Json] = self.batch()["transactions"]
        return transactions

    def write(self) -> None:
        for path in (self.folder.posd, self.folder.host, self.folder.terminal):
            path.mkdir(parents=True)
        self.folder.tmk.write_text(TMK_HEX)
        (self.folder.host / "host.yaml").write_text(json.dumps(host_configuration(PLAN)))
        self.folder.books.write_text(json.dumps(self.books))
        self.folder.log.write_text(LOG)
        self.folder.told.write_text("".join(json.dumps(line) + "\n" for line in self.told))
        self._write_journal()

    def _write_journal(self) -> None:
        key = create_machine_key(self.folder.machine_key)
        keys = DataKeys(self.folder.posd / "state" / "keys", key)
        chain, digest = key.derive("chain"), key.derive("digest")
        store = open_store(self.folder.journal, chain, digest, keys, ballast_bytes=0, free_bytes_min=0)
        store.write([self._rows(record) for record in self.records])
        store.close()

    def _rows(self, record: r.Record) -> list[Row]:
        name, batch = record_name(record), None
        if isinstance(record, r.TotalsAsked):
            batch = NEXT_BATCH if record.totals == Totals(LATER_DEBIT) else BATCH
        rows: list[Row] = [RecordRow(TID, name, record_version(name), DUE_MS, dump_record(record), batch=batch)]
        if isinstance(record, r.AuthorisationStarted):
            numbers: Any = {"stan": record.stan, "batch": record.batch_number}
            secret = CARD.pan.encode()
            rows.append(
                MessageRow(
                    TID, DUE_MS, "out", "host", mti(record.stan), "{}", b"raw", secret=secret, key_batch=1, **numbers
                )
            )
        return rows

    def audit(self) -> list[Check]:
        evidence = read_evidence(self.folder.books, self.folder.journal, self.folder.told, TID)
        evidence.balances = {card.masked: OPENING_BALANCE_MINOR for card in PLAN.cards}
        evidence.staged, evidence.settled, evidence.alerts = self.staged, SETTLED, ALERTS
        return [*money_checks(evidence), *proof_checks(evidence, PLAN, self.folder)]

    def findings(self) -> dict[str, tuple[str, ...]]:
        """Check -> findings, of those that have any."""
        return {check.name: check.findings for check in self.audit() if not check.good}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(Folder(tmp_path / "demo"))


def test_an_honest_day_has_no_finding(world: World) -> None:
    world.write()
    assert world.findings() == {}


def drop(world: World) -> None:
    del world.transactions()[0]


def other_amount(world: World) -> None:
    world.transactions()[0]["amount"] += 1


def double(world: World) -> None:
    world.transactions().append(dict(world.transactions()[0]))


def double_under_another_number(world: World) -> None:
    world.transactions().append({**world.transactions()[0], "stan": 6})


def other_rrn(world: World) -> None:
    world.transactions()[0]["rrn"] = "000000999999"


def not_reversed(world: World) -> None:
    world.transactions()[3]["state"] = "approved"


def never_reversed(world: World) -> None:
    del world.transactions()[3]


def asked_twice(world: World) -> None:
    world.transactions()[0]["times_asked"] = 2


def other_totals(world: World) -> None:
    world.batch()["settlements"][0]["groups"]["domestic"]["ours"]["debit_minor"] += 1


def still_open(world: World) -> None:
    world.batch()["state"] = "totalled"


def refund_never_came(world: World) -> None:
    del world.books["terminals"][0]["batches"][1]["transactions"][0]


def lost_money(world: World) -> None:
    world.books["cards"][0]["balance"] -= 1


def settlement(world: World) -> Json:
    found: Json = world.books["terminals"][0]["batches"][1]["settlements"][0]
    return found


def not_matched(world: World) -> None:
    settlement(world)["matched"] = 0


def not_uploaded(world: World) -> None:
    settlement(world).update(ended("202", 0))


def ended_as_if_balanced(world: World) -> None:
    settlement(world)["end_code"] = "207"


def miscounted(world: World) -> None:
    settlement(world)["end_count_agrees"] = False


def a_difference(world: World) -> None:
    settlement(world)["differences"].append({"stan": LATER, "kind": "missing"})


def balanced_after_all(world: World) -> None:
    settlement(world)["groups"]["domestic"]["result"] = 1


def a_remark(world: World) -> None:
    world.books["terminals"][0]["remarks"].append("0400 with field 52")


@pytest.mark.parametrize(
    ("lie", "check"),
    [
        (drop, "approved"),
        (drop, "totals"),
        (other_amount, "approved"),
        (double, "approved"),
        (double_under_another_number, "approved"),
        (double_under_another_number, "booked"),
        (other_rrn, "approved"),
        (not_reversed, "reversed"),
        (not_reversed, "booked"),
        (never_reversed, "reversed"),
        (asked_twice, "booked"),
        (other_totals, "totals"),
        (still_open, "totals"),
        (not_matched, "uploads"),
        (not_uploaded, "uploads"),
        (ended_as_if_balanced, "uploads"),
        (miscounted, "uploads"),
        (a_difference, "uploads"),
        (balanced_after_all, "uploads"),
        (refund_never_came, "resolved"),
        (lost_money, "balances"),
        (a_remark, "remarks"),
    ],
)
def test_a_lie_in_the_books_is_found(lie: Callable[[World], None], check: str, world: World) -> None:
    lie(world)
    world.write()
    assert check in world.findings()


@pytest.mark.parametrize(
    ("missing", "checks"),
    [
        (r.ReversalAcknowledged, {"acknowledged", "approved", "fold"}),
        (r.ReversalOwed, {"reversed"}),
        (r.BatchClosed, {"totals"}),
        (r.SettlementApproved, {"totals"}),
        (r.RefundResolved, {"approved", "booked", "resolved", "totals", "balances"}),
    ],
)
def test_a_journal_that_does_not_say_it_all_is_found(missing: type, checks: set[str], world: World) -> None:
    world.records = [record for record in world.records if not isinstance(record, missing)]
    world.write()
    assert checks <= set(world.findings())


@pytest.mark.parametrize(
    "otherwise",
    [
        r.RefundResolved(request_id(REFUND), False, Evidence.PERSON, "Li Na", "not on the list"),
        r.RefundResolved(request_id(REFUND), True, Evidence.PERSON, "", ""),
        r.RefundResolved(request_id(REFUND), True, Evidence.REPEAT),
    ],
)
def test_a_refund_that_was_resolved_otherwise_is_found(otherwise: r.RefundResolved, world: World) -> None:
    world.records = [otherwise if isinstance(one, r.RefundResolved) else one for one in world.records]
    world.write()
    assert "resolved" in world.findings()


def test_a_refund_that_was_reversed_is_found(world: World) -> None:
    owed = r.ReversalOwed(request_id(REFUND), Why.TIMEOUT, "98")
    at = next(place for place, one in enumerate(world.records) if isinstance(one, r.RefundResolved))
    world.records.insert(at, owed)
    world.write()
    assert "resolved" in world.findings()


def test_a_settlement_that_the_schedule_did_not_begin_is_found(world: World) -> None:
    at = next(place for place, record in enumerate(world.records) if isinstance(record, r.SettlementBegun))
    world.records[at] = r.SettlementBegun(SettlementCause.OPERATOR, None)
    world.write()
    assert "totals" in world.findings()


def test_a_row_that_was_changed_afterwards_is_found(world: World) -> None:
    world.write()
    with sqlite3.connect(world.folder.journal / "journal.db") as database:
        database.execute("UPDATE record SET payload = replace(payload, '1000', '1001') WHERE kind LIKE 'auth%'")
    assert {"chain", "approved", "totals"} <= set(world.findings())


@pytest.mark.parametrize(
    "line",
    [
        told(SALE, "declined", "51"),
        told(SALE, "no_answer", ""),
        told(LOST),
        told(REFUND),
        {**told(SALE), "amount": 1_001},
        {**told(SALE), "stan": 999},
    ],
)
def test_a_terminal_that_was_told_otherwise_is_found(line: Json, world: World) -> None:
    world.told = [
        line if one["stan"] in (line["stan"], SALE + 100 * (line["stan"] == 999)) else one for one in world.told
    ]
    world.write()
    assert "told" in world.findings()


def test_a_terminal_whose_own_totals_differ_is_found(world: World) -> None:
    world.told[4]["outcome"] = "unbalanced"
    world.write()
    assert "totals" in world.findings()


def test_a_trouble_that_did_not_happen_is_found(world: World) -> None:
    world.staged.append(("wrong_mac", (TERMINAL_BATCH, SALE + 100), "mac"))
    world.write()
    assert world.findings().keys() == {"staged"}


def test_checks_that_saw_nothing_do_not_pass(world: World) -> None:
    world.records, world.told = world.records[:1], []
    world.books["terminals"][0]["batches"] = []
    world.staged = []
    world.write()
    assert {
        "approved",
        "booked",
        "reversed",
        "resolved",
        "told",
        "sent",
        "totals",
        "uploads",
        "staged",
        "remarks",
    } <= set(world.findings())


@pytest.mark.parametrize(
    "line", ['{"event": "lane_fenced", "level": "critical", "alert": true}', '{"level": "error"}', "Traceback", ""]
)
def test_an_alert_or_a_stray_line_of_posd_is_found(line: str, world: World) -> None:
    world.write()
    world.folder.log.write_text(line and LOG + line + "\n")
    assert world.findings().keys() == {"log"}


def test_an_alert_that_was_not_raised_or_raised_twice_is_found(world: World) -> None:
    world.write()
    first, doubt, alert = LOG.splitlines(keepends=True)
    for text in (first + doubt, LOG + alert):
        world.folder.log.write_text(text)
        assert world.findings().keys() == {"log"}


PIN_BLOCK = bytes.fromhex("8F0E1D2C3B4A5968")
FORMS: list[tuple[str, bytes]] = [
    ("text", CARD.pan.encode()),
    ("hexadecimal", CARD.pan.encode().hex().encode()),
    ("bcd", bytes.fromhex(CARD.pan)),
    ("bcd from the other nibble", bytes.fromhex(f"0{CARD.pan}9")),
    ("track", f"{CARD.pan}D3012".encode()),
]


def test_an_alert_about_the_machine_that_it_runs_on_is_no_finding(world: World) -> None:
    world.write()
    line = json.dumps({"event": "clock_unsynchronised", "alert": True, "level": "warning"})
    world.folder.log.write_text(LOG + 3 * (line + "\n"))
    assert world.findings() == {}


@pytest.mark.parametrize(("form", "data"), FORMS, ids=[form for form, _ in FORMS])
def test_a_card_number_in_any_form_in_any_file_is_found(form: str, data: bytes, world: World) -> None:
    world.write()
    (world.folder.posd / "state" / "other").write_bytes(b"before " + data + b" after")
    (finding,) = world.findings()["canaries"]
    assert finding == f"the number of card {CARD.masked} stands in state/other", form
    assert CARD.pan not in finding


def test_keys_are_found_outside_their_files(world: World) -> None:
    world.write()
    (world.folder.posd / "state" / "copy").write_text(f"tmk={TMK_HEX.lower()}")
    (world.folder.posd / "state" / "raw").write_bytes(b"\0" + bytes.fromhex(world.folder.machine_key.read_text()))
    assert world.findings()["canaries"] == ("the TMK stands in state/copy", "the machine key stands in state/raw")


def test_a_search_that_finds_nothing_where_something_is_proves_nothing(world: World) -> None:
    world.write()
    (world.folder.host / "host.yaml").write_text("{}")
    (finding,) = world.findings()["canaries"]
    assert "proves nothing" in finding


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    secrets = [digits_canary("a number", "6225880000000005"), bytes_canary("a block", PIN_BLOCK)]
    (tmp_path / "log").write_bytes(b"622588******0005 " + PIN_BLOCK[::-1])
    assert search(tmp_path, secrets).findings == []
    assert holds(PIN_BLOCK.hex().upper().encode(), secrets[1])
    assert "secret" not in repr(Canary("name", (b"secret",)))


def test_rows_show_the_three_side_by_side(world: World) -> None:
    world.write()
    evidence = read_evidence(world.folder.books, world.folder.journal, world.folder.told, TID)
    by_stan = {row["stan"]: (row["journal"], row["host"], row["told"]) for row in rows(evidence)}
    assert by_stan[LOST] == ("reversed", "reversed", "declined 98")
    assert by_stan[VOIDED] == ("approved", "voided", "approved 00")
