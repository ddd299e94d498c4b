"""The settings of the way to the host: a connection kept, or one for each message."""

from pathlib import Path

from posd.config import load
from tests.config.test_config import SMALL, _lines, _write


def test_a_connection_for_each_message_has_to_be_made_within_the_reply_limit(tmp_path: Path) -> None:
    text = SMALL.replace("host:\n", "host:\n  mode: one_shot\n  connect_timeout_s: 30\n")
    (line,) = _lines(tmp_path, text)
    assert line.startswith("posd.yaml:7:3: host.connect_timeout_s: 30 s is not shorter than host.reply_timeout_s (30 s")
    load(_write(tmp_path, text.replace("connect_timeout_s: 30", "connect_timeout_s: 29")))
    load(_write(tmp_path, text.replace("one_shot", "persistent")))


def test_a_mode_that_posd_does_not_know(tmp_path: Path) -> None:
    (line,) = _lines(tmp_path, SMALL.replace("host:\n", "host:\n  mode: oneshot\n"))
    assert "host.mode" in line
