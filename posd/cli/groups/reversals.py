"""`posd reversals`: the commands with their options and examples."""

from typing import Annotated

import typer

from posd.cli.options import DEFAULT, By, Config, Id, Json, TidOption

group = typer.Typer(help="What is owed to the host: list, retry, resolve. 冲正", rich_markup_mode=None)


@group.command("list", epilog="Example: posd reversals list --json")
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


@group.command("retry", epilog="Example: posd reversals retry 10000001/000001/000042/0200/000000 --by 'Li Na'")
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


@group.command(
    "resolve",
    epilog="Example: posd reversals resolve 10000001/000001/000042/0200/000000 "
    '--by "Li Na" --reason "the acquirer refunded it by hand, case 4711"',
)
def reversals_resolve(
    request_id: Id,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.", show_default=False)],
    config: Config = DEFAULT,
    by: By = None,
    as_json: Json = False,
) -> int:
    """A person ends a reversal.

    One that was settled with the acquirer; kept for ever with the name and the reason.
    """
    from posd.cli.reversals import resolve_command

    return resolve_command(config, request_id, by, reason, as_json)
