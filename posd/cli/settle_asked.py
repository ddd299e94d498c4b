"""`posd settle` with its options: which of the things that it can do is meant, and which options do not go together."""

from dataclasses import dataclass
from pathlib import Path

from posd.cli.lang import chosen
from posd.cli.settle import approve_command, decide_command, settle_command
from posd.cli.settlement import show_command, slip_command
from posd.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Asked:
    """The options as they were typed; None: not given."""

    config: Path
    tid: str | None
    batch: int | None
    number: int | None
    decide: str | None
    show: bool
    slip: bool
    approve: bool
    up_to: str | None
    by: str | None
    reason: str | None
    as_json: bool
    lang: str | None


def settle_asked(asked: Asked) -> int:
    """Do what is meant; gives the exit status. Raises ConfigError for options that do not go together."""
    _require_sense(asked)
    lang, config, tid = chosen(asked.lang), asked.config, asked.tid
    of = asked.batch if asked.batch is not None else asked.number
    if asked.show:
        return show_command(config, tid, of, asked.as_json, lang)
    if asked.slip:
        return slip_command(config, tid, of, lang)
    if asked.approve:
        return approve_command(config, tid, asked.number, asked.up_to, asked.by, asked.reason, asked.as_json)
    if asked.decide is not None:
        return decide_command(config, tid, asked.decide, asked.by, asked.reason, asked.as_json)
    return settle_command(config, tid, asked.by, asked.as_json, lang)


def _require_sense(asked: Asked) -> None:
    reads, decides = asked.show or asked.slip, asked.approve or asked.decide is not None
    if sum((asked.show, asked.slip, asked.approve, asked.decide is not None)) > 1:
        raise ConfigError("settle: give one of --show, --slip, --approve and --decide")
    if reads and (asked.by is not None or asked.reason is not None):
        raise ConfigError("settle: --show and --slip only read; --by and --reason go with what a person decides")
    if asked.slip and asked.as_json:
        raise ConfigError("settle: the slip is for people; for programs there is --show --json")
    if asked.batch is not None and not reads:
        raise ConfigError("settle: a batch number goes with --show or --slip; what is settled is the open batch")
    if asked.number is not None and not reads and not asked.approve:
        raise ConfigError("settle: --batch goes with --approve, --show or --slip; what is settled is the open batch")
    if asked.up_to is not None and not asked.approve:
        raise ConfigError("settle: --up-to goes with --approve")
    if asked.reason is not None and not decides:
        raise ConfigError("settle: --reason goes with --approve or --decide closed|open")
