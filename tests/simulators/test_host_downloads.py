"""Parameters, status, CA keys and IC parameters over real sockets (1.3, 1.14); and header digit 6 on demand."""

import asyncio
from pathlib import Path

import pytest

from posd.errors import ConfigError
from posd.framing.length_prefix import LengthPrefixed, with_length
from posd.framing.tpdu import Envelope, join, split
from posd.yamlmarks import load_model
from simulators.fields import Unreadable
from simulators.host.faults import Rule
from simulators.host.parameters import ParameterSettings, Status
from simulators.host.settings import HostSettings
from simulators.terminal.client import HEADER, TPDU
from tests.simulators.bench import MID, TID, TMK
from tests.simulators.counter import Counter, at_the_counter

GIVEN = {
    "timeout_s": 45,
    "tip_allowed": True,
    "tip_percent": 15,
    "merchant_name": "小店",
    "resend_times": 2,
    "transactions": "FF00AA55",
    "offline_max": 5,
    "phone_1": "02112345678",
}
BLOCK = b"12451402112345678   181191522" + "小店".encode("gbk").ljust(40) + b"232" + b"26\xff\x00\xaa\x55" + b"2705"
KEY = "9F0605A000000333" + "9F220108" + "DF0503203012" + "DF060101"
OTHER = "9F0605A000000333" + "9F220109" + "DF0503203012"
APPLICATION = "9F0608A000000333010101" + "DF010100"


def test_the_block_has_fixed_lengths_in_the_order_of_the_tags() -> None:
    assert ParameterSettings(**GIVEN).block == BLOCK
    assert ParameterSettings().block == b""


def test_a_status_is_read_back() -> None:
    values = Status.parse(BLOCK + b"51" + b"00070003").values
    assert values == {
        "12": "45",
        "14": "02112345678",
        "18": "1",
        "19": "15",
        "22": "小店",
        "23": "2",
        "26": "FF00AA55",
        "27": "05",
        "51": "00070003",
    }


@pytest.mark.parametrize("block", [b"124", b"9945", b"12451245", b"1", b"\xff\xff12"])
def test_a_status_that_is_cut_short_or_unknown_is_unreadable(block: bytes) -> None:
    with pytest.raises(Unreadable, match="field 62"):
        Status.parse(block)


@pytest.mark.parametrize(
    ("name", "value"),
    [("merchant_name", "店" * 21), ("merchant_name", "\U0001f600"), ("tip_percent", 100), ("phone_1", "1" * 15)],
)
def test_a_parameter_that_does_not_fit_is_refused_in_the_configuration(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        ParameterSettings(**{name: value})


def test_parameters_go_down_and_the_status_comes_up() -> None:
    async def scene(one: Counter) -> None:
        down = await one.do("parameters")
        assert (down["outcome"], down["block"]) == ("approved", BLOCK.hex().upper())
        await one.good("status", hex=BLOCK.hex())
        assert one.books["status"]["22"] == "小店"
        assert (await one.do("status", hex="3132"))["code"] == "30"

    books = at_the_counter(scene, more={"parameters": GIVEN}).books
    (found,) = books["conformance"]
    assert found.endswith("field 62: at byte 0 no whole parameter of 1.14")


def test_keys_and_applications_are_listed_and_downloaded_one_by_one() -> None:
    async def scene(one: Counter) -> None:
        assert (await one.do("ca_keys"))["block"] == "31" + KEY[:24] + OTHER[:24]
        assert (await one.do("ca_key", hex=OTHER[:24]))["block"] == "31" + OTHER
        assert (await one.do("ca_key", hex="9F0605A0000003339F220177"))["block"] == "30"
        assert (await one.do("ca_key", hex="9F"))["code"] == "30"
        await one.good("ca_end")
        assert (await one.do("ic_parameters"))["block"] == "31" + APPLICATION[:22]
        assert (await one.do("ic_parameter", hex=APPLICATION[:22]))["block"] == "31" + APPLICATION
        await one.good("ic_end")

    more = {"ca_keys": (KEY, OTHER), "ic_parameters": (APPLICATION,)}
    (found,) = at_the_counter(scene, more=more).books["conformance"]
    assert found.endswith("field 62 of a download names no record")


def test_a_host_without_any_says_so() -> None:
    async def scene(one: Counter) -> None:
        assert "block" not in await one.do("parameters")
        assert (await one.do("ca_keys"))["block"] == "30"

    assert at_the_counter(scene).clean()


def test_a_wrong_script_or_record_in_the_file_is_named(tmp_path: Path) -> None:
    head = f'terminals: [{{tid: "{TID}", mid: "{MID}", tmk: "{TMK}"}}]\n'
    for line, place in (
        ('cards: [{pan: "6225880000000005", scripts: ["9F1801"]}]', "cards[0].scripts[0]"),
        ('ca_keys: ["zz"]', "ca_keys[0]"),
        ('behaviour: {remarks: {issuer: "\U0001f600"}}', "behaviour.remarks"),
    ):
        file = tmp_path / "host.yaml"
        file.write_text(head + line)
        with pytest.raises(ConfigError) as caught:
            load_model(file, HostSettings)
        assert f": {place}: " in str(caught.value)


@pytest.mark.parametrize("digit", [1, 4, 5, 11])
def test_digit_6_of_the_header_asks_for_what_a_rule_says(digit: int) -> None:
    async def scene(one: Counter) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", one.client.port)
        sent = one.client.terminal.echo()
        writer.write(with_length(join(Envelope(TPDU, b"", HEADER), sent.body)))
        (frame,) = LengthPrefixed().feed(await reader.read(4096))
        assert split(frame, len(HEADER))[0].header[2] & 0x0F == digit
        writer.close()

    at_the_counter(scene, Rule(do="header_digit", code60="301", digit=digit))
