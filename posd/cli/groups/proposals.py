"""`posd proposals`: the commands with their options and examples."""

from typing import Annotated

import typer

from posd.cli.options import DEFAULT, By, Config, Json, TidOption

group = typer.Typer(help="Decisions that wait for a second person: list, withdraw. 双人复核", rich_markup_mode=None)


@group.command("list", epilog="Example: posd proposals list --json")
def proposals_list(config: Config = DEFAULT, tid: TidOption = None, as_json: Json = False) -> int:
    """What one person has said, and a second has to.

    When something waits, the exit status is 1.
    """
    from posd.cli.proposals import list_command

    return list_command(config, tid, as_json)


@group.command("withdraw", epilog='Example: posd proposals withdraw 10000001/settlement --reason "slips do not add up"')
def proposals_withdraw(
    name: Annotated[str, typer.Argument(metavar="ID", help="As in the list.", show_default=False)],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.", show_default=False)],
    config: Config = DEFAULT,
    by: By = None,
    as_json: Json = False,
) -> int:
    """Take one back.

    Nothing was done, and nothing is; kept for ever with the name and the reason.
    """
    from posd.cli.proposals import withdraw_command

    return withdraw_command(config, name, by, reason, as_json)
