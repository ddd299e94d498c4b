"""The live view: aligned, safe to look at, on a screen and into a file."""

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from simulators.host.__main__ import main
from simulators.host.view import NotBooks, rendered, table, told
from simulators.host.watch import OwnView, Screen, attach
from tests.simulators.bench import DOMESTIC, FOREIGN, NOON_MS, Bench

ROOT = Path(__file__).parents[2]


def busy() -> Bench:
    bench = Bench.signed_in(unbalance="domestic")
    stan = bench.sale(123_45)
    bench.sale(500, FOREIGN)
    bench.take(bench.terminal.void(stan))
    bench.take(bench.terminal.reverse(bench.sale(400)))
    del bench.terminal.log[stan]
    bench.take(bench.terminal.settle())
    for sent in (*bench.terminal.uploads(), bench.terminal.end()):
        bench.take(sent)
    bench.sale(700)
    return bench


def dumped(bench: Bench) -> Any:
    return json.loads(json.dumps(bench.host.dump()))


def test_terminals_settlements_and_what_happened() -> None:
    lines = rendered(dumped(busy()))
    text = "\n".join(lines)
    assert lines[0].split() == [
        *("TID", "KEYS", "BATCH", "STATE", "DEBITS", "AMOUNT", "CREDITS", "AMOUNT", "REVERSED", "REMARKS")
    ]
    assert lines[1].split() == ["10000001", "yes", "9", "open", "1", "7.00", "0", "0.00", "1", "0"]
    assert lines[4].split() == ["10000001", "8", "unbalanced", "balanced", "1", "1", "1", "202", "1"]
    assert "missing    STAN 000002  ours 123.45 622588******6789 00, uploaded nothing" in text
    assert DOMESTIC.pan not in text
    assert lines[-1].endswith("700  622588******6789  00  approved") or "7.00" in lines[-1]


def test_columns_are_aligned() -> None:
    lines = table(("TID", "BATCH"), [("1", "5"), ("10000001", "1234567")])
    assert lines == ["TID         BATCH", "1               5", "10000001  1234567"]


def test_what_a_peer_sent_cannot_write_on_the_screen() -> None:
    line = told({"event": "received", "mti": "0800", "tid": "\x1b[2J\x07bad", "amount": 1234}, NOON_MS)
    assert "\x1b" not in line
    assert line.endswith("received      mti=0800 tid=?[2J?bad amount=12.34")
    dump = dumped(busy())
    dump["terminals"][0]["tid"] = "\x1b]0;x\x07"
    assert "\x1b" not in "".join(rendered(dump))


@pytest.mark.parametrize("books", [{}, [], None, 5, {"terminals": [{}]}, {"terminals": 1}])
def test_what_are_no_books_is_said(books: object) -> None:
    with pytest.raises(NotBooks, match="--books"):
        rendered(books)


def test_plain_lines_appear_once() -> None:
    out = io.StringIO()
    screen = Screen.on(out)
    assert not screen.live
    screen.show(["head", "a"])
    screen.show(["head", "b"])
    screen.line("event")
    assert out.getvalue() == "head\na\nb\nevent\n"


def test_a_live_screen_is_redrawn_in_place_and_fits() -> None:
    out = io.StringIO()
    screen = Screen(out, live=True)
    screen.show(["x" * 500])
    screen.show([str(n) for n in range(500)])
    first, second = out.getvalue().split("\x1b[J\x1b[H")
    assert first.startswith("\x1b[2J\x1b[H" + "x" * 80 + "\x1b[K")
    assert second.count("\n") == 23
    screen.line("nothing")
    assert "nothing" not in out.getvalue()


def test_the_own_view_tells_events_as_lines() -> None:
    out = io.StringIO()
    view = OwnView(Screen.on(out), busy().host)
    view.emit({"event": "listening", "host": "127.0.0.1", "port": 5000})
    assert view.address == "127.0.0.1:5000"
    assert "host=127.0.0.1 port=5000" in out.getvalue()


def test_a_books_file_is_shown_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    books = tmp_path / "books.json"
    books.write_text(json.dumps(busy().host.dump()))
    assert main(["--watch", "--books", str(books), "--once"]) == 0
    assert "10000001" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "text", "says"),
    [
        ([], None, "--list-scenarios"),
        (["--watch"], None, "--watch --books FILE"),
        (["--watch", "--books"], None, "start the simulator with --books"),
        (["--watch", "--books"], "no json", "not JSON"),
        (["--watch", "--books"], "[1]", "not the books"),
        (["--once", "--config", "host.yaml"], None, "--once looks"),
    ],
)
def test_misuse_is_one_line_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], text: str | None, says: str
) -> None:
    books = tmp_path / "books.json"
    if text is not None:
        books.write_text(text)
    assert main([*arguments, str(books)] if arguments[-1:] == ["--books"] else arguments) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_books_that_vanish_later_leave_the_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    books, out, turns = tmp_path / "books.json", io.StringIO(), iter((books_gone, new_books, stop))
    books.write_text(json.dumps(busy().host.dump()))
    monkeypatch.setattr("simulators.host.watch.time.sleep", lambda _: next(turns)(books))
    attach(books, Screen.on(out))
    assert out.getvalue().count("TID") == 2
    assert "7.00" in out.getvalue()


def books_gone(path: Path) -> None:
    path.unlink()


def new_books(path: Path) -> None:
    bench = busy()
    bench.sale(9_999)
    path.write_text(json.dumps(bench.host.dump()))


def stop(_: Path) -> None:
    raise KeyboardInterrupt


@pytest.mark.system
def test_on_a_real_terminal_it_redraws_and_ends_with_status_0(tmp_path: Path) -> None:
    books = tmp_path / "books.json"
    books.write_text(json.dumps(busy().host.dump()))
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "simulators.host", "--watch", "--books", str(books)]
    view = subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE, cwd=ROOT)
    os.close(theirs)
    try:
        seen = b""
        while b"10000001" not in seen:
            seen += os.read(ours, 4096)
        assert seen.startswith(b"\x1b[2J\x1b[H")
        view.terminate()
        assert view.wait(5) == 0
        assert view.stderr is not None
        assert view.stderr.read() == b""
    finally:
        view.kill()
        view.wait()
        os.close(ours)
