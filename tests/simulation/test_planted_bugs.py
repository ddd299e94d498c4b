"""Negative controls: bugs planted in posd must be caught, or the world proves nothing (testing.md T13)."""

import pytest

from simulators.world import run
from simulators.world.bugs import BUGS

SEEDS_MAX = 20
"""So many seeds may live on with the bug before one has to catch it."""

EXPECTED = {
    "send_before_journal": "before its record was durable",
    "owed_not_remembered": "",
    "reversal_dropped": "approved there",
    "late_approval_accepted": "and it is approved",
    "new_stan_on_totals_repeat": "asked otherwise the second time",
    "day_closed_twice": "closed twice",
    "due_lost_at_restart": "still open hours later",
    "approval_without_mac_accepted": "without an approval that can be trusted",
    "repeat_sent_again": "",
    "unknown_outcome_owes_nothing": "is unknown here and approved there",
    "restart_forgets": "is declined here and approved there",
    "card_number_in_the_clear": "a card number stands in the clear",
    "snapshot_without_reversals": "",
    "tombstones_ignored": "is taken back, and it is approved",
    "advice_taken_for_done": "is approved here and nothing there",
    "advice_with_a_new_number": "and the journal has not",
    "advice_promised_back_only": "promised before it was durable",
    "adjusted_counts_twice": "",
    "doubt_forgotten": "without a doubt",
    "tip_without_ceiling": "a tip of more than",
    "tip_on_a_tip": "names a tip, not the sale",
    "refund_of_anything": "was given back",
    "refund_reversed": "is a refund, and is reversed",
    "refund_sent_until_answered": "was sent 3 times",
    "doubt_ends_as_approved": "is approved here and nothing there",
    "taking_back_is_promised_only": "promised before it was durable",
    "advice_answered_94_is_done": "is approved here and declined there",
    "certificates_forgotten": "was closed without what its chips did",
    "confirmed_after_all": "was told approved, and its reversal is owed",
    "till_key_forgotten_at_restart": "and its till wanted it once",
    "totals_wait_for_nobody": "(D16)",
    "reversal_by_both_routes": "arrived though it was not sent, or was taken back",
    "lost_is_not_sent": "",
    "withdrawn_too_late": "arrived though it was not sent, or was taken back",
    "silent_route_keeps_trying": "after its own reversal",
    "late_connection_keeps_trying": "after its own reversal",
    "numbers_used_again": "is used for",
    "sold_without_a_question": "authorised twice",
    "old_batch_goes_on": "",
    "tip_confirms_nothing": "is reversed",
    "silence_confirms": "and its till never said so",
}
"""What the world says of each; empty: it depends on the seed."""


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_caught(name: str) -> None:
    bug = BUGS[name]
    with bug.plant():
        found = next(
            (
                o
                for seed in range(1, SEEDS_MAX + 1)
                if (o := run(seed, bug.faults, machine=bug.machine, adjust=bug.adjust)).violations
            ),
            None,
        )
    assert found is not None, "nobody noticed"
    assert any(EXPECTED[name] in violation for violation in found.violations)


@pytest.mark.parametrize("name", BUGS)
def test_without_the_bug_the_same_seeds_keep_every_promise(name: str) -> None:
    """The control of the control: it is the bug that is caught, not the trouble under which it shows."""
    assert [seed for seed in range(1, 4) if run(seed, BUGS[name].faults, adjust=BUGS[name].adjust).violations] == []


def test_a_bug_is_taken_out_again() -> None:
    for bug in BUGS.values():
        with bug.plant():
            pass
    assert run(1).violations == ()
