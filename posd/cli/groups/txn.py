"""`posd txn`: the commands with their options and examples."""

from typing import Annotated

import typer

from posd.cli.options import DEFAULT, BatchOption, By, Config, Id, Json, Limit, TidOption, Utc

group = typer.Typer(help="Transactions: list, show. 交易", rich_markup_mode=None)


@group.command("list", epilog="Example: posd txn list --tid 10000001 --status unknown")
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


@group.command("show", epilog="Example: posd txn show 10000001/000042")
def txn_show(name: Id, config: Config = DEFAULT, as_json: Json = False, utc: Utc = False) -> int:
    """One transaction with its history.

    Its reversal, and everything that was remembered of it.
    """
    from posd.cli.txn import show_command

    return show_command(config, name, as_json, utc)


@group.command(
    "resolve",
    epilog="Example: posd txn resolve 10000001/000001/000042/0220/200000 "
    '--happened yes --by "Li Na" --reason "on the acquirer\'s list of 3 March"',
)
def txn_resolve(
    name: Id,
    happened: Annotated[str, typer.Option("--happened", metavar="yes|no", help="What is true.", show_default=False)],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.", show_default=False)],
    config: Config = DEFAULT,
    by: By = None,
    as_json: Json = False,
) -> int:
    """A person says whether a refund happened.

    Of one that is in doubt; kept for ever with the name and the reason.
    """
    from posd.cli.txn import resolve_command

    return resolve_command(config, name, happened, by, reason, as_json)
