"""The settings of one terminal as the core's rules: the only place where one becomes the other."""

from collections.abc import Mapping

from msgspec.structs import replace

from posd.core.rules import Gaps, KindRules, OnStuck, Rules, TxnKind, UnmacedDecline
from posd.profiles.contract import Profile
from posd.settings import Settings, TerminalSettings


def rules_of(settings: Settings, terminal: TerminalSettings, profile: Profile) -> Rules:
    """What the engine of this terminal goes by."""
    schedule = settings.schedule_of(terminal)
    host, reversal, settlement = settings.host, settings.reversal, settings.settlement
    return Rules(
        kinds=_kinds(profile, host.completion_percent_max),
        close=profile.close,
        keys_expected=profile.has_keys,
        terminal_tells_batch=profile.tells_batch,
        has_invoices=profile.has_invoices,
        upload_records_max=profile.upload_records_max,
        foreign_apart=profile.foreign_apart,
        sign_in_needed=profile.has_keys or host.nac.logon == "required",
        sign_in_after_close=profile.has_keys or host.nac.logon_after_close == "yes",
        due_times=schedule.at,
        zone=schedule.zone,
        reply_timeout_s=host.reply_timeout_s,
        totals_timeout_factor=1.0 if profile.has_keys else host.nac.totals_timeout_factor,
        terminal_timeout_s=settings.door.terminal_timeout_s,
        connect_timeout_s=host.longest_connect_s,
        echo_interval_s=host.echo_interval_s,
        pin_allowed=terminal.pin == "passthrough",
        unmaced_decline=UnmacedDecline(host.unmaced_decline),
        partial_approval=host.partial_approval == "accept",
        refund_repeat=host.refund_repeat == "once",
        download=profile.download,
        parameters_applied=host.parameters == "apply",
        sign_off_after_close=host.sign_off_after_close == "yes",
        reversal_success_codes=frozenset(host.reversal_success_codes),
        reversal_finds_original=profile.reversal_finds_original,
        reverses_what_never_came=not profile.has_keys and host.nac.reversal_of_nothing == "00",
        reversal_attempts_max=reversal.attempts,
        reversal_reasons=profile.reversal_reasons,
        reversal_retry=Gaps(reversal.retry.first_s, reversal.retry.max_s),
        advice_stored_max=settings.advice.stored_max,
        advice_attempts_max=settings.advice.attempts,
        advice_retry=Gaps(settings.advice.retry.first_s, settings.advice.retry.max_s),
        tip_percent_max=settings.advice.tip_percent_max,
        stuck_retry_s=reversal.stuck_retry_s,
        on_stuck=OnStuck(reversal.on_stuck),
        settle_hold_max_s=settlement.hold_max_s,
        settle_retry=Gaps(settlement.retry.first_s, settlement.retry.max_s),
        clock_skew_max_s=settlement.clock_skew_max_s,
        settle_minimum_minor=settlement.minimum,
        settle_maximum_minor=settlement.maximum,
        settle_deferral_max_s=settlement.deferral_max_s,
        skip_empty=settlement.empty_batch == "skip",
        host_cutover_at=settlement.host_cutover_at,
        two_people_above_minor=settings.approval.two_people_above,
        proposal_ends_after_s=settings.approval.proposal_ends_after_s,
        confirm_within_s=settings.till.confirm_within_s,
    )


def _kinds(profile: Profile, completion_percent_max: int) -> Mapping[TxnKind, KindRules]:
    """The dialect's kinds; how much more than it holds a pre-authorisation may be completed with is the acquirer's."""
    completing = {}
    for kind in (TxnKind.COMPLETION, TxnKind.COMPLETION_NOTICE):
        rules = profile.kinds.get(kind)
        if rules is not None and rules.original is not None:
            completing[kind] = replace(rules, original=replace(rules.original, percent_max=completion_percent_max))
    return {**profile.kinds, **completing}
