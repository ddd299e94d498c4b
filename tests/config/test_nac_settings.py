"""The NAC dialect and a bank's file in the settings: shipped examples, the defaults of each dialect, every refusal."""

from pathlib import Path

import pytest

from posd.bank import load_bank
from posd.config import load, load_document, shipped
from posd.config.machine import check_environment
from posd.core.answers import AnswerClass
from posd.core.rules import OnStuck
from posd.daemon.dialect import profile_of
from posd.daemon.rules import rules_of
from posd.dialects import UNIONPAY_ONLY, NacSettings
from posd.errors import ConfigError
from posd.profiles.nac.profile import Nac
from posd.profiles.unionpay.profile import UnionPay
from posd.security.machine import create_machine_key
from posd.yamlmarks import read_document

EXAMPLE = shipped("config/nac.example.yaml")
SMALL = """\
version: 1
state_dir: state
control_socket: run/control.sock
machine_key_file: machine.key
host:
  profile: nac
  address: 127.0.0.1:5000
"""
TERMINAL = """\
terminals:
  - {tid: "12345678", mid: "000000012345678"}
"""
BANK = 'base: nac\nname: "A bank"\n'


def write(folder: Path, text: str, name: str = "posd.yaml") -> Path:
    (folder / name).write_text(text)
    return folder / name


def refused(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(write(folder, text))
    return str(caught.value).replace(f"{folder}/", "")


# --- the dialect -----------------------------------------------------------------------------------------------------


def test_the_example_names_every_knob_with_its_default() -> None:
    named, settings = read_document(EXAMPLE).paths(), load(EXAMPLE)
    for name in NacSettings.model_fields:
        assert ("host", "nac", name) in named, name
    assert settings.host.nac == NacSettings()
    assert settings.host.mac_algorithm == "none"
    assert isinstance(profile_of(settings), Nac)


def test_the_dialect_brings_its_own_defaults(tmp_path: Path) -> None:
    settings = load(write(tmp_path, SMALL + TERMINAL))
    host = settings.host
    assert (host.header, host.header_bytes, host.tpdu) == ("", 0, "6000010000")
    assert (host.reversal_success_codes, host.lri) == (("00",), "refuse")
    rules = rules_of(settings, settings.terminals[0], profile_of(settings))
    assert rules.on_stuck is OnStuck.BLOCK
    assert rules.reversal_success_codes == {"00"}
    assert (rules.upload_records_max, rules.keys_expected, rules.sign_in_after_close) == (1, False, False)
    assert rules.close.agreed_closes


def test_what_the_file_says_counts_before_the_dialects_defaults(tmp_path: Path) -> None:
    text = SMALL + '  tpdu: "6000990000"\n' + TERMINAL + "reversal: {on_stuck: continue}\n"
    settings = load(write(tmp_path, text))
    assert (settings.host.tpdu, settings.reversal.on_stuck) == ("6000990000", "continue")


def test_a_unionpay_file_is_as_it_was(tmp_path: Path) -> None:
    text = SMALL.replace("nac", "unionpay") + TERMINAL.replace('"}', '", tmk_file: a.tmk}')
    settings = load(write(tmp_path, text))
    assert (settings.host.header_bytes, settings.reversal.on_stuck) == (6, "continue")
    assert isinstance(profile_of(settings), UnionPay)


@pytest.mark.parametrize("name", sorted(UNIONPAY_ONLY - {"header_bytes"}))
def test_what_only_unionpay_has_is_refused(tmp_path: Path, name: str) -> None:
    value = {"header": '"603100310100"', "sm4_pin_block_bytes": "8", "sign_in": '"004"', "mak": "single"}.get(name)
    others = {"sm4_key_block": "with_tdk", "sm4_security_digit": '"6"', "operator": '"01 "', "refund_repeat": "never"}
    others |= {"parameters": "show", "field_22": "left", "field_23": "right", "field_61": "bcd", "pad": '"0"'}
    others |= {"totals_groups": "2", "upload_records_max": "8", "end_without_items": "send"}
    value = value or others.get(name) or ("reverse" if name == "partial_approval" else '"no"')
    said = refused(tmp_path, f"{SMALL}  {name}: {value}\n{TERMINAL}")
    assert f"posd.yaml:8:3: host.{name}: has no meaning with profile: nac; remove it" in said


REFUSED = [
    ("  nac: {nii: 1}\n", TERMINAL, "posd.yaml:8:9: host.nac.nii: must be 3 digits"),
    ("  nac: {totals_digits: 60}\n", TERMINAL, "host.nac.totals_digits: must be 90, 36, 33 or 30"),
    ("  nac: {pads: F}\n", TERMINAL, "host.nac.pads: unknown setting; did you mean 'pad'?"),
    ("  nac: {batch_number_first: 0}\n", TERMINAL, "host.nac.batch_number_first: must be greater"),
    ("", TERMINAL.replace('"}', '", mac: required}'), "terminals[0].mac: there is no MAC with mac_algorithm: none"),
    (
        "  mac_algorithm: x9.19\n  nac: {wire: ascii}\n",
        TERMINAL.replace('"}', '", tmk_file: a}'),
        "host.nac.wire: the ASCII wire carries no MAC",
    ),
    ("  nac: {length: hex}\n", TERMINAL, "host.nac.length: must be 'binary', 'bcd' or 'inclusive'"),
    (
        'door: {listen: "0.0.0.0:7000"}\n',
        TERMINAL.replace('"}', '", unsigned: accept}'),
        "terminals[0].unsigned: door.listen (line 8) can be reached from other machines",
    ),
]


def test_a_serial_line_has_a_framing_of_its_own(tmp_path: Path) -> None:
    line = '"serial:///dev/ttyS9?baud=9600&framing=length"'
    said = refused(tmp_path, SMALL.replace("127.0.0.1:5000", line) + "  nac: {length: bcd}\n" + TERMINAL)
    assert "posd.yaml:8:9: host.nac.length: bcd is for TCP and TLS, and serial:///dev/ttyS9" in said


@pytest.mark.parametrize(("host", "terminals", "expected"), REFUSED)
def test_what_contradicts_is_refused(tmp_path: Path, host: str, terminals: str, expected: str) -> None:
    assert expected in refused(tmp_path, SMALL + host + terminals)


@pytest.mark.parametrize(
    ("host", "terminal", "expected"),
    [
        ("  nac: {nii: '001'}\n", "tmk_file: a", "host.nac: has no meaning with profile: unionpay; remove it"),
        ("  mac_algorithm: none\n", "tmk_file: a", "host.mac_algorithm: every UnionPay host wants a MAC"),
        ("", "tmk_file: a, unsigned: accept", "terminals[0].unsigned: is for profile: nac"),
    ],
)
def test_a_unionpay_file_may_not_say_it(tmp_path: Path, host: str, terminal: str, expected: str) -> None:
    terminals = TERMINAL.replace('"}', f'", {terminal}}}')
    assert expected in refused(tmp_path, SMALL.replace("nac", "unionpay") + host + terminals)


def test_a_mac_key_of_the_wrong_length_is_found(tmp_path: Path) -> None:
    create_machine_key(tmp_path / "machine.key")
    (tmp_path / "a.key").touch(mode=0o600)
    (tmp_path / "a.key").write_text("0123456789ABCDEF")
    terminals = TERMINAL.replace('"}', '", tmk_file: a.key}')
    settings, document = load_document(write(tmp_path, f"{SMALL}  mac_algorithm: x9.19\n{terminals}"))
    (found,) = check_environment(settings, document)
    assert "x9.19 wants a key of 32 hexadecimal digits" in str(found)
    assert "0123456789ABCDEF" not in str(found)


# --- a bank ----------------------------------------------------------------------------------------------------------


def banked(folder: Path, bank: str, host: str = "") -> Path:
    write(folder, bank, "bank.yaml")
    return write(folder, f"{SMALL}  profile_file: bank.yaml\n{host}{TERMINAL}")


@pytest.mark.parametrize("name", ["bank-nac", "bank-unionpay"])
def test_the_example_banks_are_good(name: str) -> None:
    bank, knobs = load_bank(shipped(f"config/{name}.example.yaml"))
    assert bank.base == name.removeprefix("bank-")
    assert bank.codes
    assert bank.fields
    assert knobs


def test_a_bank_lies_under_what_the_shop_says_and_over_the_dialect(tmp_path: Path) -> None:
    bank = BANK + 'knobs: {tpdu: "6000770000", nac: {nii: "007", times: always}}\n'
    host = load(banked(tmp_path, bank, '  nac: {nii: "008"}\n')).host
    assert (host.tpdu, host.nac.nii, host.nac.times, host.mac_algorithm) == ("6000770000", "008", "always", "none")


def test_a_banks_base_is_the_profile(tmp_path: Path) -> None:
    write(tmp_path, BANK, "bank.yaml")
    text = SMALL.replace("  profile: nac\n", "  profile_file: bank.yaml\n") + TERMINAL
    assert load(write(tmp_path, text)).host.profile == "nac"
    said = refused(tmp_path, text.replace("  profile_file", "  profile: unionpay\n  profile_file"))
    assert "posd.yaml:7:3: host.profile_file: is for profile: nac; write profile: nac" in said


def test_a_banks_codes_are_read_and_shown(tmp_path: Path) -> None:
    profile = profile_of(load(banked(tmp_path, BANK + 'codes: {N7: {class: decline, meaning: "wrong CVV2"}}\n')))
    assert profile.codes["N7"].answer_class is AnswerClass.DECLINE
    assert profile.codes["00"].answer_class is AnswerClass.APPROVE


WRONG = [
    ("base: visa\nname: x\n", "bank.yaml:1:1: base: must be 'unionpay' or 'nac'"),
    ("base: nac\n", "name: the setting is missing"),
    (BANK + "codez: {}\n", "bank.yaml:3:1: codez: unknown setting; did you mean 'codes'?"),
    (BANK + "knobs:\n  tpdux: 1\n", "bank.yaml:4:3: knobs.tpdux: unknown setting; did you mean 'tpdu'?"),
    (BANK + "knobs:\n  nac: {niii: 1}\n", "knobs.nac.niii: unknown setting; did you mean 'nii'?"),
    (BANK + "knobs:\n  address: 1.2.3.4:5\n", "bank.yaml:4:3: knobs.address: is the shop's own; write it in posd.yaml"),
    (BANK + "codes:\n  N7: {class: perhaps, meaning: x}\n", "codes.N7.class: must be"),
    (BANK + "codes:\n  '00': {class: decline, meaning: x}\n", '"00" is an approval everywhere'),
    (BANK + "codes:\n  N77: {class: decline, meaning: x}\n", "must be 2 characters"),
    (BANK + "fields:\n  sael: {remove: [42]}\n", "no kind of message has this name; did you mean 'sale'?"),
    (BANK + "fields:\n  sale: {remove: [11]}\n", "fields.sale.remove[0]: may not be removed"),
    (BANK + "fields:\n  sale:\n    add: {2: '4761739001010119'}\n", "may not be given here"),
    (
        BANK + "fields:\n  sale:\n    add: {42: '000000000000001'}\n",
        "bank.yaml:5:11: fields.sale.add.42: may not be given",
    ),
    (BANK + "fields:\n  adjust:\n    add: {60: '000000000001'}\n", "bank.yaml:5:11: fields.adjust.add.60: may not be"),
    (BANK + "fields:\n  every:\n    add: {62: '000001'}\n", "bank.yaml:5:11: fields.every.add.62: may not be given"),
    (BANK + "fields:\n  totals:\n    add: {63: '0'}\n", "bank.yaml:5:11: fields.totals.add.63: may not be given here"),
    (BANK + "fields:\n  tip:\n    add: {54: '1'}\n", "bank.yaml:5:11: fields.tip.add.54: may not be given here"),
    (BANK + "fields:\n  sale:\n    pass_on: [49, 62]\n", "bank.yaml:5:19: fields.sale.pass_on[1]: may not be given"),
    (BANK + "fields:\n  sale:\n    add: {24: '003'}\n", "bank.yaml:5:11: fields.sale.add.24: may not be given here"),
    (
        BANK.replace("nac", "unionpay") + "fields:\n  sale:\n    add: {61: '1'}\n",
        "bank.yaml:5:11: fields.sale.add.61: may not be given here",
    ),
    (
        BANK + "fields:\n  tip:\n    pass_on: [49]\n",
        "bank.yaml:5:5: fields.tip.pass_on: does nothing: when this is sent, the terminal's own message is not at hand",
    ),
    (BANK + "fields:\n  reversal:\n    pass_on: [49]\n", "bank.yaml:5:5: fields.reversal.pass_on: does nothing"),
    (BANK + "fields:\n  completion: {remove: [42]}\n", "no such message; did you mean 'completion_notice'?"),
    (BANK + "fields:\n  sign_off: {remove: [42]}\n", "bank.yaml:4:3: fields.sign_off: base: nac has no such message"),
    (BANK + "fields:\n  sale:\n    add: {99: 'x'}\n", "must be a field number, 2 to 64"),
    (BANK + "fields:\n  sale:\n    add: {49: '1'}\n", "bank.yaml:5:11: fields.sale.add.49: "),
]


@pytest.mark.parametrize(("bank", "expected"), WRONG)
def test_what_is_wrong_with_a_bank_is_said_with_its_place(tmp_path: Path, bank: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(banked(tmp_path, bank))
    said = str(caught.value)
    assert expected in said
    assert "bank.yaml:" in said
    assert "4761739001010119" not in said


def test_a_bank_that_is_not_there(tmp_path: Path) -> None:
    said = refused(tmp_path, f"{SMALL}  profile_file: none.yaml\n{TERMINAL}")
    assert "none.yaml: no such file" in said
