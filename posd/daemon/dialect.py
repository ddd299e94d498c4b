"""The dialect that the settings name: a base, and the difference of a bank where it has one."""

from collections.abc import Mapping

from posd.bank import Bank, load_bank
from posd.dialects import NAC
from posd.profiles.codes import Code
from posd.profiles.contract import Profile
from posd.profiles.difference import NO_DIFFERENCE, Change, Difference
from posd.profiles.nac.knobs import Knobs as NacKnobs
from posd.profiles.nac.profile import Nac
from posd.profiles.unionpay.profile import Knobs, UnionPay
from posd.settings import Settings


def profile_of(settings: Settings) -> Profile:
    """Raises ConfigProblems where the bank's file cannot be used."""
    path = settings.host.profile_file
    difference = difference_of(load_bank(path)[0]) if path is not None else NO_DIFFERENCE
    if settings.host.profile == NAC:
        return Nac(_nac(settings), difference)
    return UnionPay(_unionpay(settings), difference)


def difference_of(bank: Bank) -> Difference:
    """The bank's file as the profiles take it."""
    changes = {name: Change(one.add, one.remove, one.pass_on) for name, one in bank.fields.items()}
    return Difference(bank.name, _codes(bank), changes)


def _codes(bank: Bank) -> Mapping[str, Code]:
    return {
        code: Code(code, row.meaning, row.meaning_zh or row.meaning, "", row.answer, alarm=row.alarm == "yes")
        for code, row in bank.codes.items()
    }


def _unionpay(settings: Settings) -> Knobs:
    host = settings.host
    return Knobs(
        tpdu=bytes.fromhex(host.tpdu),
        header=bytes.fromhex(host.header),
        lri_accepted=host.lri == "accept",
        sign_in=host.sign_in,
        operator=host.operator,
        zone=settings.settlement.zone,
        partial_approval=host.partial_approval == "accept",
        mak=host.mak,
        mac_algorithm=host.mac_algorithm,
        mac_output=host.mac_output,
        sm4_key_block=host.sm4_key_block,
        sm4_security_digit=host.sm4_security_digit,
        sm4_pin_block_bytes=host.sm4_pin_block_bytes,
        track_encryption=host.track_encryption == "yes",
        field_22=host.field_22,
        field_23=host.field_23,
        field_61=host.field_61,
        pad=host.pad,
        totals_groups=host.totals_groups,
        upload_records_max=host.upload_records_max,
        ends_without_items=host.end_without_items == "send",
    )


def _nac(settings: Settings) -> NacKnobs:
    host, nac = settings.host, settings.host.nac
    return NacKnobs(
        tpdu=bytes.fromhex(host.tpdu),
        nii=nac.nii,
        pad=nac.pad,
        ascii_wire=nac.wire == "ascii",
        totals_digits=nac.totals_digits,
        times=nac.times,
        more_follows=nac.more_follows == "yes",
        voids=nac.voids,
        mac_algorithm=host.mac_algorithm,
        mac_output=host.mac_output,
        zone=settings.settlement.zone,
        lri_accepted=host.lri == "accept",
        settle_with_reversal_owed=nac.settle_with_reversal_owed == "yes",
        transfer_on_repeat=nac.transfer_on_repeat == "upload",
        refunds=nac.refunds,
        reversal_mti=nac.reversal_mti,
        reversal_repeat_digit=nac.reversal_repeat_digit == "yes",
    )
