"""`posd journal`: the commands with their options and examples."""

from typing import Annotated

import typer

from posd.cli.options import (
    DEFAULT,
    After,
    BatchOption,
    Config,
    Json,
    Limit,
    RequestOption,
    RrnOption,
    StanOption,
    TidOption,
    Utc,
)

group = typer.Typer(help="What was remembered: show, verify, export. 流水", rich_markup_mode=None)


@group.command("show", epilog="Example: posd journal show --tid 10000001 --limit 20")
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


@group.command("export", epilog="Example: posd journal export --after 120000 > rows.jsonl")
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


@group.command("verify", epilog="Example: posd journal verify --json")
def journal_verify(config: Config = DEFAULT, as_json: Json = False) -> int:
    """Whether every row is as written.

    If not, the exit status is 1.
    """
    from posd.cli.journal import verify_command

    return verify_command(config, as_json)
