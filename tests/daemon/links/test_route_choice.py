"""Which route is in use: the table, the limits, and days of a line told as signs. No sockets, no waiting."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posd.daemon.links.route_choice import (
    PATIENCE_DOUBLINGS_MAX,
    TABLE,
    Becomes,
    Health,
    Limits,
    RouteHealth,
    Sign,
    after,
    choose,
    ended,
)

LIMITS = Limits(connect_failures=2, good_for_s=60.0)
CONNECTING, UP, FAILED, PROVING = Health.CONNECTING, Health.UP, Health.FAILED, Health.PROVING


@dataclass
class Lines:
    """Routes that a test lets happen things to, with a clock moved by hand."""

    count: int = 2
    now_s: float = 1000.0
    at_rest: bool = True
    active: int | None = None
    routes: list[RouteHealth] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.routes = [RouteHealth(CONNECTING, self.now_s) for _ in range(self.count)]

    def happens(self, place: int, *signs: Sign) -> int | None:
        for sign in signs:
            self.routes[place] = after(self.routes[place], sign, self.now_s, LIMITS)
            self.active = choose(self.routes, self.active, self.at_rest)
        return self.active

    def wait(self, seconds: float) -> int | None:
        """Time passes; routes that proved themselves meanwhile are told so, when they are."""
        end_s = self.now_s + seconds
        while True:
            due = [(at_s, n) for n, one in enumerate(self.routes) if (at_s := one.trusted_at_s(LIMITS)) is not None]
            if not due or min(due)[0] > end_s:
                break
            self.now_s, place = min(due)
            self.happens(place, Sign.GOOD)
        self.now_s = end_s
        self.active = choose(self.routes, self.active, self.at_rest)
        return self.active

    def healths(self) -> list[Health]:
        return [one.health for one in self.routes]


def test_the_table_is_complete() -> None:
    assert set(TABLE) == set(Health)
    assert all(set(row) == set(Sign) for row in TABLE.values())
    assert {becomes for row in TABLE.values() for becomes in row.values()} == set(Becomes)


def test_the_table_in_the_docstring_is_the_table() -> None:
    from posd.daemon.links import route_choice

    assert route_choice.__doc__ is not None
    rows = [line.split() for line in route_choice.__doc__.splitlines() if line.strip().startswith(tuple(Health))]
    said = {Health(row[0]): row[1:] for row in rows}
    for health, row in TABLE.items():
        cells = ["-" if becomes is Becomes.UNCHANGED else becomes.name for becomes in row.values()]
        assert said[health] == cells, health


def test_the_first_in_order_is_taken_even_if_a_later_one_is_sooner_up() -> None:
    lines = Lines()
    assert lines.happens(1, Sign.CONNECTED) is None
    assert lines.happens(0, Sign.CONNECTED) == 0


def test_a_dead_first_route_holds_up_only_for_its_limit() -> None:
    lines = Lines()
    lines.happens(1, Sign.CONNECTED)
    assert lines.happens(0, Sign.REFUSED) is None
    assert lines.happens(0, Sign.REFUSED) == 1
    assert lines.healths() == [FAILED, UP]


def test_a_line_that_drops_once_and_comes_again_is_not_left() -> None:
    lines = Lines()
    lines.happens(0, Sign.CONNECTED)
    lines.happens(1, Sign.CONNECTED)
    assert lines.happens(0, Sign.ENDED_WELL) is None
    assert lines.happens(0, Sign.CONNECTED) == 0


def test_it_is_returned_to_only_after_it_was_good_for_long_enough() -> None:
    lines = Lines()
    lines.happens(1, Sign.CONNECTED)
    lines.happens(0, Sign.REFUSED, Sign.REFUSED, Sign.CONNECTED)
    assert (lines.active, lines.healths()) == (1, [PROVING, UP])
    assert lines.wait(59.9) == 1
    assert lines.happens(0, Sign.ENDED_BADLY) == 1, "the proof begins anew"
    assert lines.happens(0, Sign.CONNECTED) == 1
    assert lines.wait(59.9) == 1
    assert lines.wait(0.2) == 0


def test_never_in_the_middle_of_an_exchange() -> None:
    lines = Lines(at_rest=False)
    lines.happens(1, Sign.CONNECTED)
    lines.happens(0, Sign.REFUSED, Sign.REFUSED, Sign.CONNECTED)
    assert lines.wait(600) == 1
    assert lines.healths() == [UP, UP]
    lines.at_rest = True
    assert lines.wait(0) == 0


def test_a_route_that_fails_is_left_at_once_at_rest_or_not() -> None:
    lines = Lines(at_rest=False)
    lines.happens(0, Sign.CONNECTED)
    lines.happens(1, Sign.CONNECTED)
    assert lines.happens(0, Sign.SILENT) == 1


def test_a_line_that_comes_and_goes_fails_and_does_not_flap_the_choice() -> None:
    """Every 10 s it connects, takes a message with it and breaks: two are enough; it gets no more money."""
    lines = Lines()
    lines.happens(1, Sign.CONNECTED)
    taken = []
    for _ in range(60):
        taken.append(lines.happens(0, Sign.CONNECTED))
        lines.wait(10)
        lines.happens(0, ended(10, True, True, LIMITS))
        taken.append(lines.active)
        lines.wait(1)
    assert taken[:4] == [0, None, 0, 1]
    assert set(taken[4:]) == {1}


def test_a_host_that_accepts_and_is_silent_is_returned_to_less_and_less() -> None:
    lines = Lines()
    lines.happens(0, Sign.CONNECTED)
    lines.happens(1, Sign.CONNECTED)
    waits = []
    for _ in range(8):
        assert lines.happens(0, Sign.SILENT) == 1
        failed_s = lines.now_s
        assert lines.happens(0, Sign.CONNECTED) == 1
        while lines.active == 1:
            lines.wait(1)
        waits.append(lines.now_s - failed_s)
    longest = 60 * 2**PATIENCE_DOUBLINGS_MAX
    assert waits == [60, 120, 240, 480, 960, 1920, longest, longest]


def test_an_answer_after_it_was_trusted_for_as_long_ends_its_bad_name() -> None:
    lines = Lines()
    lines.happens(0, Sign.CONNECTED)
    lines.happens(1, Sign.CONNECTED)
    lines.happens(0, Sign.SILENT, Sign.CONNECTED)
    lines.wait(60)
    lines.happens(0, Sign.SILENT, Sign.CONNECTED)
    assert lines.routes[0].strikes == 2
    lines.wait(120)
    assert lines.active == 0
    lines.happens(0, Sign.ANSWERED)
    assert lines.routes[0].strikes == 2, "one answer at once proves nothing"
    lines.wait(120)
    lines.happens(0, Sign.ANSWERED)
    assert lines.routes[0].strikes == 0


def test_both_down_and_whichever_comes_first_is_used() -> None:
    lines = Lines()
    lines.happens(0, Sign.CONNECTED)
    lines.happens(1, Sign.CONNECTED)
    lines.happens(0, Sign.ENDED_WELL, Sign.REFUSED, Sign.REFUSED)
    lines.happens(1, Sign.ENDED_BADLY, Sign.REFUSED)
    assert (lines.active, lines.healths()) == (None, [FAILED, FAILED])
    assert lines.happens(1, Sign.CONNECTED) == 1, "not proved, but there is no other"
    assert lines.happens(0, Sign.CONNECTED) == 1, "nor is this one: no reason to change"
    assert lines.wait(60) == 0


def test_with_one_route_nothing_but_the_line_itself_decides() -> None:
    lines = Lines(count=1)
    lines.happens(0, Sign.REFUSED, Sign.REFUSED, Sign.REFUSED)
    assert lines.active is None
    assert lines.happens(0, Sign.CONNECTED) == 0
    assert lines.happens(0, Sign.SILENT) is None
    assert lines.happens(0, Sign.CONNECTED) == 0


def test_a_message_that_could_connect_ends_the_row_of_those_that_could_not() -> None:
    """A connection for each message: the route is up between them."""
    lines = Lines()
    lines.happens(1, Sign.CONNECTED)
    lines.happens(0, Sign.CONNECTED, Sign.REFUSED, Sign.CONNECTED, Sign.REFUSED)
    assert (lines.active, lines.healths()) == (0, [UP, UP])
    assert lines.happens(0, Sign.REFUSED) == 1


@pytest.mark.parametrize(
    ("lasted_s", "answered", "in_flight", "sign"),
    [
        (0.1, False, False, Sign.ENDED_BADLY),
        (59.9, False, False, Sign.ENDED_BADLY),
        (59.9, True, True, Sign.ENDED_BADLY),
        (0.1, True, False, Sign.ENDED_WELL),
        (60.0, False, False, Sign.ENDED_WELL),
        (60.0, True, True, Sign.ENDED_WELL),
    ],
)
def test_how_a_connection_ended(lasted_s: float, answered: bool, in_flight: bool, sign: Sign) -> None:
    assert ended(lasted_s, answered, in_flight, LIMITS) is sign


REAL = [sign for sign in Sign if sign is not Sign.GOOD]


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(REAL), st.floats(0, 200), st.booleans()), max_size=60))
def test_whatever_happens_a_used_route_is_connected_and_none_is_forgotten(
    story: list[tuple[int, Sign, float, bool]],
) -> None:
    lines = Lines(count=3)
    for place, sign, seconds, at_rest in story:
        lines.at_rest = at_rest
        before = lines.active
        lines.happens(place, sign)
        if before is not None and lines.routes[before].connected and not at_rest:
            assert lines.active == before, "a working route is left only at rest"
        lines.wait(seconds)
        if lines.active is None:
            waits = any(one.health is CONNECTING for one in lines.routes)
            assert waits or not any(one.connected for one in lines.routes), "unused though one could be used"
        else:
            assert lines.routes[lines.active].connected
        assert all(one.refusals < LIMITS.connect_failures for one in lines.routes)
