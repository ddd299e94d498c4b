"""The state of a host: saved, loaded, and nobody can tell the difference; kill -9 of the process included."""

import json
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posd.errors import ConfigError
from simulators.fields import UploadRecord, format_upload
from simulators.host.acquirer import Acquirer
from simulators.host.books import Books
from simulators.host.faults import Faults, Rule
from simulators.host.kinds import Kind
from simulators.host.settings import CardSettings
from simulators.host.state import restore, saved
from simulators.terminal import matrix
from simulators.terminal.core import CardInHand
from tests.simulators.bench import DOMESTIC, FOREIGN, MID, STRANGER, TID, TMK, Bench, settings
from tests.simulators.counter import SCRIPT

ROOT = Path(__file__).parents[2]
RULES = (Rule(do="lose_answer", nth=2),)


def reborn(bench: Bench, faults: Faults | None = None, into: Faults | None = None) -> Acquirer:
    """The same host after a restart: its state went through JSON."""
    document = json.loads(json.dumps(saved(bench.host, faults or Faults(()))))
    fresh = Acquirer(settings(), seed=99)
    restore(document, fresh, into or Faults(()))
    return fresh


def busy() -> Bench:
    """A host in the middle of an upload, with one of everything in its books."""
    bench = Bench.signed_in(unbalance="both")
    bench.take(bench.terminal.void(bench.sale(300)))
    bench.take(bench.terminal.reverse(bench.sale(400)))
    unknown = bench.terminal.sale(DOMESTIC, 1)
    bench.say(bench.terminal.reverse(unknown.stan))
    for amount in range(9):
        bench.sale(500 + amount, FOREIGN)
    bench.take(bench.terminal.settle())
    bench.take(next(iter(bench.terminal.uploads())))
    odd = (UploadRecord("00", 4711, DOMESTIC.pan, 5),)
    bench.take(bench.terminal.management("upload", "0320", "201", {48: format_upload(odd)}))
    return bench


def test_books_are_the_same_after_a_restart() -> None:
    bench = busy()
    again = reborn(bench)
    assert again.dump() == bench.host.dump()
    assert saved(again, Faults(())) == saved(bench.host, Faults(()))


def test_an_upload_goes_on_after_a_restart_in_the_middle_of_it() -> None:
    bench = busy()
    bench.host = reborn(bench)
    for sent in [*bench.terminal.uploads(), bench.terminal.end()]:
        assert bench.take(sent)["code"] == "00"
    done = bench.books["batches"][0]["settlements"][-1]
    assert (done["matched"], len(done["differences"]), done["end_code"]) == (11, 1, "202")
    assert bench.books["batch"] == 9


def test_keys_repeats_and_reversals_are_remembered() -> None:
    bench = Bench.signed_in()
    sale = bench.terminal.sale(DOMESTIC, 700)
    first = bench.say(sale)
    bench.take(sale)
    void = bench.terminal.void(sale.stan)
    bench.take(void)
    bench.host = reborn(bench)
    assert bench.say(sale).fields == first.fields
    assert bench.take(bench.terminal.reverse(void.stan))["code"] == "00"
    assert bench.entry(sale.stan)["state"] == "approved"
    assert bench.spent() == 700
    keys = bench.terminal.keys
    bench.take(bench.terminal.sign_in())
    assert bench.terminal.keys != keys


def test_repeated_totals_get_the_answer_of_before() -> None:
    bench = Bench.signed_in()
    bench.sale(100)
    totals = bench.terminal.settle()
    first = bench.say(totals)
    bench.host = reborn(bench)
    assert bench.say(totals).fields == first.fields


def test_rules_go_on_counting_only_when_they_are_the_same() -> None:
    bench = Bench.signed_in()
    sale = bench.terminal.sale(DOMESTIC, 100).message
    counted = Faults(RULES)
    counted.plan(sale)
    same, others = Faults(RULES), Faults((Rule(do="duplicate", nth=2),))
    reborn(bench, counted, same)
    reborn(bench, counted, others)
    assert same.plan(sale) == RULES[0]
    assert others.plan(sale) is None


def test_what_is_kept_from_call_to_call_never_goes_stale() -> None:
    bench, texts = Bench.signed_in(), dict[int, Any]()
    sale = bench.terminal.sale(DOMESTIC, 100)
    changes = [
        lambda: bench.take(sale),
        lambda: bench.say(sale),
        lambda: bench.take(bench.terminal.reverse(sale.stan)),
        lambda: bench.take(bench.terminal.reverse(sale.stan)),
    ]
    states = []
    for change in changes:
        change()
        states.append(json.dumps(saved(bench.host, Faults(()), texts)))
        assert states[-1] == json.dumps(saved(bench.host, Faults(())))
    assert len(set(states)) == len(changes)


def test_a_terminal_that_is_new_in_the_configuration_is_opened() -> None:
    bench = busy()
    document = saved(bench.host, Faults(()))
    document["terminals"], document["cards"] = {}, {}
    fresh = Acquirer(settings())
    restore(document, fresh, Faults(()))
    assert fresh.dump() == Acquirer(settings()).dump()


Damage = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda d: d.pop("posd_host_state"), "not a saved state"),
        (lambda d: d.update(posd_host_state=99), "not a saved state"),
        (lambda d: d.pop("cards"), "damaged"),
        (lambda d: d.update(terminals=[1]), "holds terminal 1"),
        (lambda d: d["terminals"][TID].update(batches=[]), "damaged"),
        (lambda d: d["terminals"][TID].update(keys="zz"), "damaged"),
        (lambda d: d["terminals"][TID]["batches"][0]["entries"].append("{}"), "damaged"),
        (lambda d: d["terminals"][TID]["batches"][0]["entries"].append("no json"), "damaged"),
        (lambda d: d["terminals"][TID]["batches"][0]["settlements"][0].update(uploaded=["1"]), "damaged"),
        (lambda d: d["terminals"].update({"99999999": {}}), "holds terminal 99999999"),
        (lambda d: d["cards"].update({"6225880000001111": 5}), r"holds card 622588\*{6}1111"),
    ],
)
def test_a_state_that_is_none_is_refused_in_one_line(damage: Damage, says: str) -> None:
    document = json.loads(json.dumps(saved(busy().host, Faults(()))))
    damage(document)
    with pytest.raises(ConfigError, match=says) as refused:
        restore(document, Acquirer(settings()), Faults(()))
    assert "delete" in str(refused.value)
    assert DOMESTIC.pan not in str(refused.value)


def test_the_saved_ledger_finds_its_originals() -> None:
    bench = Bench.signed_in()
    stan = bench.sale(300)
    bench.take(bench.terminal.void(stan))
    books: Books = reborn(bench).books
    entries = books.terminals[TID].batch.entries
    assert entries[stan + 1].original is entries[stan]


@pytest.mark.system
def test_a_process_killed_in_mid_upload_goes_on_with_its_books(tmp_path: Path) -> None:
    config, state, books = tmp_path / "host.yaml", tmp_path / "state.json", tmp_path / "books.json"
    config.write_text(
        f'terminals: [{{tid: "{TID}", mid: "{MID}", tmk: "{TMK}", batch: 8}}]\n'
        f'cards: [{{pan: "{DOMESTIC.pan}", balance: "1000.00"}}]\n'
    )
    arguments = ["--config", str(config), "--listen", "127.0.0.1:0", "--books", str(books), "--state", str(state)]
    arguments += ["--scenario", "unbalanced_domestic"]
    steps = [{"do": "sign_in"}, *({"do": "sale", "amount": "1.00", "card": DOMESTIC.pan, "expiry": "3012"},) * 2]
    host, port = started(arguments)
    try:
        told = terminal(port, steps)
        assert [row["outcome"] for row in told] == ["approved"] * 3
        host.send_signal(signal.SIGKILL)
        host.wait()
        assert stat.S_IMODE(state.stat().st_mode) == 0o600
        before = json.loads(books.read_text())
        host, port = started(arguments)
        assert json.loads(books.read_text()) == before
        again = terminal(port, [{"do": "sign_in"}, {"do": "totals"}, {"do": "settle_end"}], stan=100)
        assert [row["outcome"] for row in again] == ["approved", "unbalanced", "approved"]
    finally:
        host.kill()
        host.wait()
    (batch, _) = json.loads(books.read_text())["terminals"][0]["batches"]
    assert [item["kind"] for item in batch["settlements"][0]["differences"]] == ["missing", "missing"]


def started(arguments: list[str]) -> tuple[subprocess.Popen[str], int]:
    host = subprocess.Popen(
        [sys.executable, "-m", "simulators.host", *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert host.stdout is not None
    return host, json.loads(host.stdout.readline())["port"]


def terminal(port: int, steps: list[dict[str, object]], stan: int = 1) -> list[dict[str, Any]]:
    who = ["--tid", TID, "--mid", MID, "--tmk", TMK, "--stan", str(stan)]
    done = subprocess.run(
        [sys.executable, "-m", "simulators.terminal", "--connect", f"127.0.0.1:{port}", *who],
        input="".join(json.dumps(step) + "\n" for step in steps),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_holds_chips_loads_and_notices_survive_a_restart() -> None:
    chip = CardSettings(pan=STRANGER.pan, balance=1_000_000, purse=500, issuer_auth=True, scripts=(SCRIPT,))
    configured = settings(unbalance="both").model_copy(update={"cards": (*settings().cards, chip)})
    bench = Bench(Acquirer(configured, seed=1))
    terminal, card = bench.terminal, CardInHand(STRANGER.pan, "3012", "051")
    bench.take(terminal.sign_in())
    hold = matrix.preauth(terminal, DOMESTIC, 10_000)
    sale = terminal.sale(card, 500)
    for sent in (hold, sale, matrix.ec_load(terminal, Kind.EC_LOAD, card, 300), matrix.ec_sale(terminal, card, 200)):
        assert bench.take(sent)["outcome"] == "approved"
    bench.take(matrix.script_result(terminal, sale.stan))
    bench.take(terminal.download("status", "0820", "362", b"1245"))
    bench.take(terminal.settle())
    for sent in terminal.uploads():
        bench.take(sent)
    bench.take(terminal.end())
    done = matrix.complete(terminal, hold.stan, 9_000, 8)
    assert bench.take(done)["outcome"] == "approved"
    document = json.loads(json.dumps(saved(bench.host, Faults(()))))
    again = Acquirer(configured, seed=9)
    restore(document, again, Faults(()))
    assert again.dump() == bench.host.dump()
    assert saved(again, Faults(())) == saved(bench.host, Faults(()))
    bench.host = again
    assert bench.take(terminal.reverse(done.stan))["code"] == "00"
    assert bench.spent() == 10_000
    assert bench.entry(hold.stan)["state"] == "approved"
