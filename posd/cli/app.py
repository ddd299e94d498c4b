"""The commands of `posd` with their options and examples. What a command does is in a module of its own, imported when
the command runs: a help text needs none of it.
"""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer.exceptions import TyperException

from posd.cli import exit_status
from posd.cli.exit_status import CONFIG_DEFAULT, CONFIG_VARIABLE
from posd.daemon.logmask import mask_text, one_line

app = typer.Typer(
    help="posd: reversals never lost, settlement never forgotten. 冲正不丢，结算不忘。",
    epilog="Start with: posd demo, or posd check-config /etc/posd/posd.yaml",
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)
advices = typer.Typer(
    help="What terminals told that the host does not have yet: list, retry, resolve. 离线交易", rich_markup_mode=None
)
reversals = typer.Typer(help="What is owed to the host: list, retry, resolve. 冲正", rich_markup_mode=None)
txn = typer.Typer(help="Transactions: list, show. 交易", rich_markup_mode=None)
journal = typer.Typer(help="What was remembered: show, verify, export. 流水", rich_markup_mode=None)
app.add_typer(reversals, name="reversals")
app.add_typer(advices, name="advices")
app.add_typer(txn, name="txn")
app.add_typer(journal, name="journal")

Config = Annotated[
    Path, typer.Option("--config", metavar="FILE", envvar=CONFIG_VARIABLE, help="The configuration file.")
]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]
Utc = Annotated[bool, typer.Option("--utc", help="Times in UTC.")]
Profile = Annotated[Literal["unionpay", "nac"], typer.Option("--profile", help="The dialect. 方言")]
TidOption = Annotated[str | None, typer.Option("--tid", metavar="TID", help="Only this terminal.")]
BatchOption = Annotated[int | None, typer.Option("--batch", min=1, max=999_999, help="Only this batch number.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="At most so many.")]
Lang = Annotated[str | None, typer.Option("--lang", metavar="en|zh", help="Language; else that of LANG. 语言")]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who wants it.")]
Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why.")]
RequestOption = Annotated[str | None, typer.Option("--request-id", metavar="ID", help="Only this request.")]
StanOption = Annotated[int | None, typer.Option("--stan", min=1, max=999_999, help="Only this trace number.")]
RrnOption = Annotated[str | None, typer.Option("--rrn", metavar="RRN", help="Only this retrieval reference number.")]
After = Annotated[int | None, typer.Option("--after", min=0, metavar="ROW", help="Only rows after this one.")]
Id = Annotated[
    str, typer.Argument(metavar="ID", help="A request id, an RRN, a till's key, or TID/STAN.", show_default=False)
]

DEFAULT = Path(CONFIG_DEFAULT)
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
    given = Given(host, tid, mid, tmk_file, times, zone, listen, till, instance, yes, not no_start)
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

    return settle_asked(Asked(config, tid, batch, number, decide, show, slip, approve, by, reason, as_json, lang))


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


@reversals.command("list", epilog="Example: posd reversals list --json")
def reversals_list(
    config: Config = DEFAULT,
    tid: TidOption = None,
    ended: Annotated[bool, typer.Option("--ended", help="Also those that were ended lately.")] = False,
    as_json: Json = False,
) -> int:
    """What is owed, stuck or in conflict.

    When one is stuck or in conflict, the exit status is 1.
    """
    from posd.cli.reversals import list_command

    return list_command(config, tid, ended, as_json)


@reversals.command("retry", epilog="Example: posd reversals retry 10000001/000001/000042/0200/000000 --by 'Li Na'")
def reversals_retry(
    request_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="One reversal; else all.", show_default=False)
    ] = None,
    config: Config = DEFAULT,
    tid: TidOption = None,
    by: By = None,
    as_json: Json = False,
) -> int:
    """Try one or all now."""
    from posd.cli.reversals import retry_command

    return retry_command(config, request_id, tid, by, as_json)


@reversals.command(
    "resolve",
    epilog="Example: posd reversals resolve 10000001/000001/000042/0200/000000 "
    '--by "Li Na" --reason "the acquirer refunded it by hand, case 4711"',
)
def reversals_resolve(
    request_id: Id,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who decides.", show_default=False)],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.", show_default=False)],
    config: Config = DEFAULT,
    as_json: Json = False,
) -> int:
    """A person ends a reversal.

    One that was settled with the acquirer; kept for ever with the name and the reason.
    """
    from posd.cli.reversals import resolve_command

    return resolve_command(config, request_id, by, reason, as_json)


@advices.command("list", epilog="Example: posd advices list --json")
def advices_list(
    config: Config = DEFAULT,
    tid: TidOption = None,
    ended: Annotated[bool, typer.Option("--ended", help="Also those that were ended lately.")] = False,
    as_json: Json = False,
) -> int:
    """What is owed, stuck or refused.

    When one is stuck or refused, the exit status is 1.
    """
    from posd.cli.advices import list_command

    return list_command(config, tid, ended, as_json)


@advices.command("retry", epilog="Example: posd advices retry 10000001/000001/000042/0220/000000 --by 'Li Na'")
def advices_retry(
    request_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="One advice; else all.", show_default=False)
    ] = None,
    config: Config = DEFAULT,
    tid: TidOption = None,
    by: By = None,
    as_json: Json = False,
) -> int:
    """Try one or all now."""
    from posd.cli.advices import retry_command

    return retry_command(config, request_id, tid, by, as_json)


@advices.command(
    "resolve",
    epilog="Example: posd advices resolve 10000001/000001/000042/0220/000000 "
    '--by "Li Na" --reason "the acquirer booked it by hand, case 4711"',
)
def advices_resolve(
    request_id: Id,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who decides.", show_default=False)],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.", show_default=False)],
    config: Config = DEFAULT,
    as_json: Json = False,
) -> int:
    """A person ends an advice.

    One that was settled with the acquirer; it counts no more. Kept for ever with the name and the reason.
    """
    from posd.cli.advices import resolve_command

    return resolve_command(config, request_id, by, reason, as_json)


@txn.command("list", epilog="Example: posd txn list --tid 10000001 --status unknown")
def txn_list(
    config: Config = DEFAULT,
    tid: TidOption = None,
    batch: BatchOption = None,
    status: Annotated[
        str | None, typer.Option("--status", help="approved, declined, unknown, reversed, turned_away …")
    ] = None,
    limit: Limit = None,
    as_json: Json = False,
    utc: Utc = False,
) -> int:
    """What was sold, and what was not sent.

    Of the open and the last closed batch, or of any batch by its number; times are in the terminal's zone.
    """
    from posd.cli.txn import Wanted, list_command

    return list_command(config, Wanted(tid, batch, status, limit), as_json, utc)


@txn.command("show", epilog="Example: posd txn show 10000001/000042")
def txn_show(name: Id, config: Config = DEFAULT, as_json: Json = False, utc: Utc = False) -> int:
    """One transaction with its history.

    Its reversal, and everything that was remembered of it.
    """
    from posd.cli.txn import show_command

    return show_command(config, name, as_json, utc)


@txn.command(
    "resolve",
    epilog="Example: posd txn resolve 10000001/000001/000042/0220/200000 "
    '--happened yes --by "Li Na" --reason "on the acquirer\'s list of 3 March"',
)
def txn_resolve(
    name: Id,
    happened: Annotated[str, typer.Option("--happened", metavar="yes|no", help="What is true.", show_default=False)],
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who decides.", show_default=False)],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.", show_default=False)],
    config: Config = DEFAULT,
    as_json: Json = False,
) -> int:
    """A person says whether a refund happened.

    Of one that is in doubt; kept for ever with the name and the reason.
    """
    from posd.cli.txn import resolve_command

    return resolve_command(config, name, happened, by, reason, as_json)


@journal.command("show", epilog="Example: posd journal show --tid 10000001 --limit 20")
def journal_show(
    config: Config = DEFAULT,
    tid: TidOption = None,
    request_id: RequestOption = None,
    stan: StanOption = None,
    rrn: RrnOption = None,
    batch: BatchOption = None,
    after: After = None,
    limit: Limit = None,
    as_json: Json = False,
    utc: Utc = False,
) -> int:
    """The newest rows.

    A table for people, with times in the terminal's zone; with --json one JSON line a row.
    """
    from posd.cli.journal import Filters, show_command

    return show_command(config, Filters(tid, request_id, stan, rrn, batch, after), limit, as_json, utc)


@journal.command("export", epilog="Example: posd journal export --after 120000 > rows.jsonl")
def journal_export(
    config: Config = DEFAULT,
    tid: TidOption = None,
    request_id: RequestOption = None,
    stan: StanOption = None,
    rrn: RrnOption = None,
    batch: BatchOption = None,
    after: After = None,
    limit: Limit = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines: what it gives anyhow.")] = True,
) -> int:
    """Every row as a JSON line.

    Masked, oldest first; --after and --limit take it in parts.
    """
    from posd.cli.journal import Filters, export_command

    return export_command(config, Filters(tid, request_id, stan, rrn, batch, after), limit)


@journal.command("verify", epilog="Example: posd journal verify --json")
def journal_verify(config: Config = DEFAULT, as_json: Json = False) -> int:
    """Whether every row is as written.

    If not, the exit status is 1.
    """
    from posd.cli.journal import verify_command

    return verify_command(config, as_json)


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
