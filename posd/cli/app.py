"""The commands of `posd` with their options and examples. What a command does is in a module of its own, imported when
the command runs: a help text needs none of it.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from posd.cli import exit_status
from posd.cli.groups import advices, backup, journal, keys, proposals, restore_gap, reversals, terminal, txn
from posd.cli.options import DEFAULT, BatchOption, By, Config, Json, Lang, Profile, Reason, TidOption
from posd.daemon.logmask import mask_text, one_line

app = typer.Typer(
    help="posd: reversals never lost, settlement never forgotten. 冲正不丢，结算不忘。",
    epilog="Start with: posd demo, or posd check-config /etc/posd/posd.yaml",
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(reversals.group, name="reversals")
app.add_typer(advices.group, name="advices")
app.add_typer(txn.group, name="txn")
app.add_typer(terminal.group, name="terminal")
app.add_typer(proposals.group, name="proposals")
app.add_typer(journal.group, name="journal")
app.add_typer(backup.group, name="backup")
app.add_typer(restore_gap.group, name="restore-gap")
app.add_typer(keys.group, name="keys")

MISUSE_CHARACTERS_MAX = 200


def run_command_line(args: list[str]) -> int:
    """Run one command; gives its exit status. Raises what the command raises, but for misuse."""
    try:
        status = app(args=args or ["--help"], prog_name="posd", standalone_mode=False)
    except TyperException as error:
        where = getattr(getattr(error, "ctx", None), "command_path", "posd")
        what = one_line(mask_text(error.format_message()))  # it may repeat what was typed
        print(f"posd: {what.rstrip('.')[:MISUSE_CHARACTERS_MAX]}; see: {where} --help", file=sys.stderr)
        return exit_status.MISUSE
    except typer.Abort:
        return exit_status.INTERRUPTED
    except SystemExit:  # typer's own end when nobody reads any more
        return exit_status.NOBODY_READS
    if not args:
        return exit_status.MISUSE
    return status if isinstance(status, int) else 0


@app.command(epilog="Example: posd run --config /etc/posd/posd.yaml")
def run(config: Config = DEFAULT) -> int:
    """Run the daemon. 运行"""
    from posd.daemon.assemble import run as run_daemon

    return run_daemon(config)


@app.command("check-config", epilog="Example: posd check-config /etc/posd/posd.yaml")
def check_config(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The configuration file.", show_default=False)],
    as_json: Json = False,
) -> int:
    """Check a configuration. 检查配置

    Everything that is wrong with it, and with the machine that it names, before anything starts.
    """
    from posd.cli.check_config import check_config_command

    return check_config_command(file, as_json)


@app.command(epilog="Examples: posd selftest; posd selftest --config /etc/posd/posd.yaml --lang zh")
def selftest(
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Rehearse with this configuration.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", metavar="unionpay|nac", help="Only this dialect, with its defaults.")
    ] = None,
    as_json: Json = False,
    lang: Lang = None,
) -> int:
    """Rehearse before going live. 上线自检

    Replays the golden messages and MACs that ship with posd, then plays a day against the built-in acquirer, in a
    temporary folder and on loopback: with --config by the dialect, keys and rules of that file, of which no folder,
    key or address is used. When a check has findings, the exit status is 1.
    """
    from posd.cli.lang import chosen
    from posd.cli.selftest.command import selftest_command

    return selftest_command(config, profile, as_json, chosen(lang))


@app.command(
    epilog="Examples: posd setup; posd setup --yes --host 10.0.0.1:5000 --tid 10000001 --mid 898100012345678 "
    "--tmk-file - < tmk.txt; posd setup --instance north"
)
def setup(
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing.")] = False,
    host: Annotated[str | None, typer.Option("--host", metavar="ADDRESS", help="The acquirer's host.")] = None,
    tid: Annotated[str | None, typer.Option("--tid", metavar="TID", help="Field 41, 8 characters.")] = None,
    mid: Annotated[str | None, typer.Option("--mid", metavar="MID", help="Field 42, 15 characters.")] = None,
    tmk_file: Annotated[
        str | None, typer.Option("--tmk-file", metavar="FILE", help="Holds the TMK, mode 0600; - is standard input.")
    ] = None,
    at: Annotated[list[str] | None, typer.Option("--at", metavar="HH:MM", help="Settle at; may be repeated.")] = None,
    zone: Annotated[str | None, typer.Option("--zone", metavar="ZONE", help="As Asia/Shanghai.")] = None,
    listen: Annotated[str | None, typer.Option("--listen", metavar="ADDRESS", help="Where terminals connect.")] = None,
    till: Annotated[str | None, typer.Option("--till", metavar="ADDRESS", help="Where tills connect, if any.")] = None,
    backup: Annotated[
        str | None, typer.Option("--backup", metavar="DIR", help="Where backups go: better another disk.")
    ] = None,
    instance: Annotated[str | None, typer.Option("--instance", metavar="NAME", help="One of several here.")] = None,
    no_start: Annotated[bool, typer.Option("--no-start", help="Write everything, start nothing.")] = False,
    as_json: Json = False,
    lang: Lang = None,
) -> int:
    """Make it a service of this machine. 安装

    A user, keys, settings and a hardened unit; then it is started, and the host has to answer a sign-in. No key and
    no settings are ever replaced: run it again to add what is missing. When the host has not answered, the exit status
    is 1.
    """
    from posd.cli.lang import chosen
    from posd.cli.setup.command import Given, setup_command

    times = tuple(at or ())
    given = Given(host, tid, mid, tmk_file, times, zone, listen, till, instance, yes, not no_start, backup)
    return setup_command(given, as_json, chosen(lang))


@app.command(epilog="Example: posd doctor --lang zh")
def doctor(config: Config = DEFAULT, as_json: Json = False, lang: Lang = None) -> int:
    """What is wrong around posd, and the remedy. 诊断

    Clock, disk, keys, folders, service, routes (connected to only), schedule and settlements. Changes nothing. When
    something needs a person, the exit status is 1; when posd or its journal could not be asked, 3.
    """
    from posd.cli.doctor.command import doctor_command
    from posd.cli.lang import chosen

    return doctor_command(config, as_json, chosen(lang))


@app.command(epilog="Example: posd status --lang zh")
def status(config: Config = DEFAULT, tid: TidOption = None, as_json: Json = False, lang: Lang = None) -> int:
    """How the terminals are. 状态

    When something needs a person, the exit status is 1.
    """
    from posd.cli.lang import chosen
    from posd.cli.status import status_command

    return status_command(config, tid, as_json, chosen(lang))


@app.command(epilog="Example: posd routes --lang zh")
def routes(config: Config = DEFAULT, as_json: Json = False, lang: Lang = None) -> int:
    """The lines to the acquirer. 线路

    Which one is in use, since when, when it was last good, what went wrong. When one is not up, the exit status is 1.
    """
    from posd.cli.lang import chosen
    from posd.cli.routes import routes_command

    return routes_command(config, as_json, chosen(lang))


@app.command(
    epilog="Examples: posd settle --tid 10000001; "
    "posd settle --show 7 --tid 10000001; posd settle --slip --lang zh; "
    'posd settle --tid 10000001 --approve --by "Li Na" --reason "slips checked"; '
    'posd settle --tid 10000001 --decide closed --by "Li Na" --reason "the bank shows it as paid"'
)
def settle(
    batch: Annotated[
        int | None,
        typer.Argument(min=1, max=999_999, metavar="[BATCH]", help="With --show or --slip.", show_default=False),
    ] = None,
    config: Config = DEFAULT,
    tid: TidOption = None,
    decide: Annotated[
        str | None,
        typer.Option("--decide", metavar="closed|open", help="Whether the host closed an unconfirmed batch."),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="What became of a settlement: the newest, or BATCH.")] = False,
    slip: Annotated[bool, typer.Option("--slip", help="The same on 40 columns, to print. 结算单")] = False,
    approve: Annotated[bool, typer.Option("--approve", help="Let a held settlement begin. 批准")] = False,
    number: BatchOption = None,
    up_to: Annotated[
        str | None,
        typer.Option("--up-to", metavar="AMOUNT", help="With --approve: it may grow to this before the second person."),
    ] = None,
    by: By = None,
    reason: Reason = None,
    as_json: Json = False,
    lang: Lang = None,
) -> int:
    """Close the batch now, and watch. 结算

    Leaving cancels nothing. With --show or --slip, what became of a settlement; with --approve, let one that is above
    the maximum begin; with --decide, say what became of an unconfirmed one.
    """
    from posd.cli.settle_asked import Asked, settle_asked

    return settle_asked(
        Asked(config, tid, batch, number, decide, show, slip, approve, up_to, by, reason, as_json, lang)
    )


@app.command(epilog="Example: posd check 2026-03-02 --lang zh")
def check(
    day: Annotated[str, typer.Argument(metavar="DATE", help="A business day: 2026-03-02.", show_default=False)],
    config: Config = DEFAULT,
    tid: TidOption = None,
    as_json: Json = False,
    lang: Lang = None,
) -> int:
    """Whether a day was settled. 核对营业日

    Done, not due, empty, deferred, forgotten or unknown, and why. When one was forgotten or is unknown, the exit status
    is 1.
    """
    from posd.cli.check import check_command
    from posd.cli.lang import chosen

    return check_command(config, day, tid, as_json, chosen(lang))


@app.command("swap-check", epilog="Example: posd swap-check --lang zh")
def swap_check(config: Config = DEFAULT, as_json: Json = False, lang: Lang = None) -> int:
    """Whether this machine may be replaced. 更换检查

    Not while anything is unsettled, owed, in doubt or not reconciled: it is listed with what to do, and the exit status
    is 1. Changes nothing.
    """
    from posd.cli.lang import chosen
    from posd.cli.swap_check import swap_check_command

    return swap_check_command(config, as_json, chosen(lang))


@app.command(epilog="Example: posd decode < message.hex")
def decode(
    test_data: Annotated[
        str | None,
        typer.Option("--test-data", metavar="HEX", help="A test message; a real one comes by standard input."),
    ] = None,
    header: Annotated[int, typer.Option("--header", help="Bytes of the message header: 6, 2 or 0 (nac: 0).")] = 6,
    as_json: Json = False,
    profile: Profile = "unionpay",
) -> int:
    """Explain a message. 报文解析

    It is read from standard input, as hex or raw bytes, and shown masked with sub-fields and the meaning of codes.
    """
    from posd.cli.decode import decode_command

    return decode_command(test_data, as_json, header, profile)


@app.command(epilog="Example: posd demo --seed 7 --keep /tmp/posd-demo")
def demo(
    seed: Annotated[int, typer.Option("--seed", help="Another order, other faults.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the audit for programs.")] = False,
    keep: Annotated[Path | None, typer.Option("--keep", metavar="DIR", help="Leave the files there.")] = None,
    profile: Profile = "unionpay",
) -> int:
    """A shop's day on this machine. 演示

    Sales, faults, a kill, a settlement, and the audit that compares the host's books with the journal.
    """
    from posd.cli.demo.command import demo_command

    return demo_command(seed=seed, as_json=as_json, keep=keep, profile=profile)


@app.command(epilog="Example: posd version")
def version(as_json: Json = False) -> int:
    """The version of posd. 版本"""
    from posd.cli.screen import print_json
    from posd.daemon.shown.questions import version as installed

    if as_json:
        print_json({"posd": installed()})
    else:
        print(f"posd {installed()}")
    return 0
