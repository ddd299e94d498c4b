"""`posd advices`: the commands with their options and examples."""

from typing import Annotated

import typer

from posd.cli.options import DEFAULT, By, Config, Id, Json, TidOption

group = typer.Typer(
    help="What terminals told that the host does not have yet: list, retry, resolve. 离线交易", rich_markup_mode=None
)


@group.command("list", epilog="Example: posd advices list --json")
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


@group.command("retry", epilog="Example: posd advices retry 10000001/000001/000042/0220/000000 --by 'Li Na'")
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


@group.command(
    "resolve",
    epilog="Example: posd advices resolve 10000001/000001/000042/0220/000000 "
    '--by "Li Na" --reason "the acquirer booked it by hand, case 4711"',
)
def advices_resolve(
    request_id: Id,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.", show_default=False)],
    config: Config = DEFAULT,
    by: By = None,
    as_json: Json = False,
) -> int:
    """A person ends an advice.

    One that was settled with the acquirer; it counts no more. Kept for ever with the name and the reason.
    """
    from posd.cli.advices import resolve_command

    return resolve_command(config, request_id, by, reason, as_json)
