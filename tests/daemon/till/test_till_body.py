"""The body of an order against anything: a shape of till_schema, or a refusal that says where and repeats no value."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posd.core.effects import Refusal
from posd.core.rules import TxnKind
from posd.daemon.till.body import TYPES, BadBody, canonical, minor_of, read_empty, read_order
from posd.daemon.till.ids import holds_number, looks_like_card
from posd.daemon.till.problem import STATUS
from posd.daemon.till.problem import refused as refused_by_core
from posd.daemon.till.schema import Card, Empty, RefundOrder, SaleOrder, VoidOrder

PAN = "6225880000000005"
CARD = {"number": PAN, "expiry": "3012"}
SALE: dict[str, Any] = {"type": "sale", "amount": "12.30", "card": CARD}
REFUND: dict[str, Any] = {"type": "refund", "amount": "1.00"}
NAMED = {"rrn": "112200000124", "date": "0302"}


def refused(body: Any) -> BadBody:
    with pytest.raises(BadBody) as caught:
        read_order(body if isinstance(body, bytes) else json.dumps(body).encode())
    assert PAN not in str(caught.value)
    assert PAN not in caught.value.where
    assert caught.value.__cause__ is None
    return caught.value


def test_the_three_orders() -> None:
    assert read_order(json.dumps(SALE).encode()) == SaleOrder(amount="12.30", card=Card(**CARD))
    assert read_order(b'{"type":"void","original":"s-1"}') == VoidOrder(original="s-1")
    assert isinstance(read_order(json.dumps({**REFUND, "original": "s-1"}).encode()), RefundOrder)
    assert isinstance(read_order(json.dumps({**REFUND, "sale": NAMED, "card": CARD}).encode()), RefundOrder)


@pytest.mark.parametrize(
    ("change", "where", "says"),
    [
        ({"amount": "12.305"}, "$.amount", "two decimals"),
        ({"amount": "12.3"}, "$.amount", "two decimals"),
        ({"amount": 12.30}, "$.amount", "two decimals"),
        ({"amount": 1230}, "$.amount", "two decimals"),
        ({"amount": "0.00"}, "$.amount", "more than zero"),
        ({"amount": "-1.00"}, "$.amount", "two decimals"),
        ({"amount": "01.00"}, "$.amount", "two decimals"),
        ({"amount": "12.30\n"}, "$", "visible ASCII"),
        ({"amount": "１２.30"}, "$", "visible ASCII"),
        ({"amount": "99999999999.00"}, "$.amount", "two decimals"),
        ({"amount": None}, "$.amount", "two decimals"),
        ({"amount": ["1.00"]}, "$.amount", "two decimals"),
        ({"type": "gift"}, "$.type", "sale, void, refund"),
        ({"type": PAN}, "$.type", "sale, void, refund"),
        ({"type": 1}, "$.type", "sale, void"),
        ({"card": PAN}, "$.card", "object"),
        ({"card": {**CARD, "number": PAN + "x"}}, "$.card.number", "12 to 19 digits"),
        ({"card": {**CARD, "number": int(PAN)}}, "$.card.number", "12 to 19 digits"),
        ({"card": {**CARD, "expiry": "3013"}}, "$.card.expiry", "YYMM"),
        ({"card": {**CARD, "cvv": "123"}}, "$.card", "'cvv'"),
        ({PAN: 1}, "$", "unknown member"),
        ({"tip": "12.30"}, "$.tip", "less"),
        ({"tip": True}, "$.tip", "two decimals"),
        ({"reference": ""}, "$.reference", "1 to 64"),
        ({"reference": "x" * 65}, "$.reference", "1 to 64"),
        ({"original": "s-1"}, "$", "'original'"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(change: dict[str, Any], where: str, says: str) -> None:
    bad = refused({**SALE, **change})
    assert bad.readable
    assert bad.where.startswith(where)
    assert says in str(bad)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b"\xff{}", "UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"type":"sale","type":"void"}', "twice"),
        (b'{"card":{"number":"1","number":"2"}}', "twice"),
        (b'{"amount":NaN}', "no number"),
        (b'{"amount":-Infinity}', "no number"),
        (b"{" * 5000, "not JSON"),
        (b"[" * 8000, "nested"),
        (b'{"a":' * 1500, "nested"),
        (b"{'type':'sale'}", "not JSON"),
        (b'{"type":"sale"} {}', "not JSON"),
    ],
)
def test_what_is_not_json_says_why(body: bytes, says: str) -> None:
    bad = refused(body)
    assert not bad.readable
    assert says in str(bad)


@pytest.mark.parametrize("number", ["9" * 5000, "1e999999", "-0", "1" + "0" * 400 + ".5"])
def test_a_number_of_any_size_is_only_no_text(number: str) -> None:
    assert refused(f'{{"type":"sale","amount":{number}}}'.encode()).where == "$.amount"


@pytest.mark.parametrize("more", [{}, {"original": "s", "card": CARD}, {"sale": NAMED}, {"card": CARD}])
def test_a_refund_names_its_sale_in_one_way(more: dict[str, Any]) -> None:
    assert "original" in str(refused({**REFUND, **more}))


def test_the_same_order_is_the_same_however_it_is_written() -> None:
    other = b' {"card" : {"expiry":"3012","number":"6225880000000005"}, "amount":"12.3\\u0030","type":"sale"}'
    assert canonical(read_order(other)) == canonical(read_order(json.dumps(SALE).encode()))
    assert canonical(read_order(json.dumps({**SALE, "amount": "12.31"}).encode())) != canonical(read_order(other))


def test_minor_units() -> None:
    assert [minor_of(text) for text in ("0.01", "12.30", "9999999999.99")] == [1, 1230, 999_999_999_999]


def test_no_body_is_an_empty_object() -> None:
    assert read_empty(b"", Empty) == read_empty(b" {} ", Empty) == Empty()
    with pytest.raises(BadBody):
        read_empty(b'{"a":1}', Empty)
    with pytest.raises(BadBody):
        read_empty(b"null", Empty)


def test_a_card_is_not_shown() -> None:
    assert PAN not in repr(read_order(json.dumps(SALE).encode()))


def complaint(body: bytes) -> str | None:
    """What is said of this body; None: it is an order."""
    try:
        read_order(body)
    except BadBody as bad:
        return f"{bad} {bad.where}"
    return None


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20) | st.just(PAN),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("type", "amount", "card", "tip", "reference", "original", "sale", PAN), ANY_JSON),
)


@given(body=st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes(body: bytes) -> None:
    assert complaint(body) != ""


@given(change=MEMBERS, base=st.sampled_from([{}, SALE, REFUND, {"type": "void"}]))
@settings(max_examples=300, deadline=None)
def test_any_members(change: dict[str, Any], base: dict[str, Any]) -> None:
    assert PAN not in (complaint(json.dumps({**base, **change}).encode()) or "")


def test_every_refusal_of_the_core_has_its_answer() -> None:
    assert set(STATUS) == set(Refusal)
    for refusal, (status, hint) in STATUS.items():
        said = json.loads(refused_by_core(refusal.value, "because", None).body)
        assert (said["status"], said["type"]) == (status, f"urn:posd:problem:{refusal.value}")
        assert hint in said["detail"]


def test_every_kind_of_order_is_a_kind_of_the_core() -> None:
    assert {*TYPES} <= {*TxnKind}


def test_names_that_would_put_a_card_number_into_the_journal() -> None:
    """As it is printed on cards too; a UUID, a date and a receipt's number are none."""
    for text in (
        PAN,
        f"for {PAN}",
        "6225 8800 0000 0005",
        "6225-8800-0000-0005",
        "6225.8800.0000.0005 x",
        "3782 822463 10005",
    ):
        assert looks_like_card(text), text
    for text in (
        "12345678-1234-4123-8123-123456789012",
        "8e03978e-40d5-43dd-bc93-6894a57f9324",
        "20260302-101500-0001",
    ):
        assert not looks_like_card(text), text
    assert not looks_like_card("2026-03-02 10.15 R-0001")
    assert holds_number(f"R1/{'-'.join(PAN)}", PAN)
