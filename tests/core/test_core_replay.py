"""What lasts holds no monotonic time and no setting (D5): another machine, or another shop's rules, read it alike."""

from posd.core import events as e
from posd.core import records as r
from posd.core.answers import ExchangeKind
from posd.core.engine import Engine
from posd.core.payload import dump_state
from posd.core.rules import Rules
from posd.core.state import ReversalStatus
from tests.core.playbook import (
    SETTLE_NOW,
    Playbook,
    answered,
    balanced,
    recorded,
    request_id,
    rules,
    sale,
    sent,
    signed_in,
)

BUSY = rules(reversal_attempts_max=2, settle_hold_max_s=60.0)


def day(mono_s: float, with_rules: Rules = BUSY) -> Playbook:
    """A sale, a reversal that becomes stuck by these rules, a close; on a machine that was started `mono_s` ago."""
    play = Playbook(with_rules)
    play.mono = mono_s
    play >> e.Started() >> e.LinkUp() >> signed_in() >> sale(1) >> answered() >> sale(2)
    play.wait(with_rules.reply_timeout_s) << sent(ExchangeKind.REVERSAL) >> answered("96")
    play.until_sent(ExchangeKind.REVERSAL) >> answered("96") << recorded(r.ReversalStuck, attempts=2)
    play >> SETTLE_NOW >> signed_in()
    return play.until_sent(ExchangeKind.TOTALS) >> balanced() >> answered() << recorded(r.BatchClosed)


def test_d5_no_monotonic_value_lasts() -> None:
    """Had one come into a record or a snapshot, the same day on another machine would be written otherwise."""
    young, old = day(7.25), day(9_000_000.5)
    assert young.journal == old.journal
    assert dump_state(young.state) == dump_state(old.state)


def test_d5_replaying_reads_no_settings() -> None:
    """The two attempts that made it stuck stand in its record; a shop that now allows nine finds it stuck."""
    play = day(1000.0)
    lived, written = play.state, len(play.journal)
    play.rules = rules(reversal_attempts_max=9, due_times=(), zone="UTC", reply_timeout_s=5.0)
    play.engine = Engine(play.rules, play.refold())
    assert play.state == lived
    assert play.state.reversals[request_id(2)].status is ReversalStatus.STUCK
    assert len(play.journal) == written
