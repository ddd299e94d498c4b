"""`posd journal`: the commands with their options and examples."""

from typing import Annotated

import typer

from posd.cli.options import (
    DEFAULT,
    After,
    BatchOption,
    By,
    Config,
    Json,
    Limit,
    RequestOption,
    RrnOption,
    StanOption,
    TidOption,
    Utc,
)

group = typer.Typer(help="What was remembered: show, verify, export, archive. 流水", rich_markup_mode=None)


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


@group.command("verify", epilog="Example: posd journal verify --segments 2026-03,2026-04 --json")
def journal_verify(
    config: Config = DEFAULT,
    segments: Annotated[
        str, typer.Option("--segments", metavar="WHICH", help="all, sums (only checksums), none, or months.")
    ] = "all",
    elsewhere: Annotated[
        bool, typer.Option("--segments-elsewhere", help="A segment that is not here was taken away on purpose.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Whether every row is as written.

    In the database and in the archive's segments. If not, the exit status is 1.
    """
    from posd.cli.journal import verify_command

    return verify_command(config, segments, elsewhere, as_json)


@group.command("archive", epilog="Example: posd journal archive --before 2026-04")
def journal_archive(
    config: Config = DEFAULT,
    before: Annotated[
        str | None, typer.Option("--before", metavar="YYYY-MM", help="This month stays; else the present one.")
    ] = None,
    keep: Annotated[int, typer.Option("--keep", min=0, help="So many more closed months stay.")] = 0,
    by: By = None,
    as_json: Json = False,
) -> int:
    """Move closed months out of the database. 归档

    Each into a file that can be verified by itself, below the journal's folder. Sales go on. Nothing goes that is open,
    owed or in doubt; what stays is told with its reason.
    """
    from posd.cli.archive import archive_command

    return archive_command(config, before, keep, by, as_json)


@group.command("archives", epilog="Example: posd journal archives --json")
def journal_archives(config: Config = DEFAULT, as_json: Json = False) -> int:
    """The months that were archived, and where they are.

    If one is not here, the exit status is 1.
    """
    from posd.cli.archive import archives_command

    return archives_command(config, as_json)
