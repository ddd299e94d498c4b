"""`posd restore-gap`: the commands with their options and examples."""

from typing import Annotated

import typer

from posd.cli.options import DEFAULT, By, Config, Json, TidOption

group = typer.Typer(help="What is not known since a backup was restored. 恢复缺口", rich_markup_mode=None)

Because = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.", show_default=False)]


@group.command("list", epilog="Example: posd restore-gap list --tid 10000001")
def gap_list(config: Config = DEFAULT, tid: TidOption = None, as_json: Json = False) -> int:
    """What may have happened, and what waits for it.

    Which trace numbers, batches and requests to compare with the acquirer. When there are any, the exit status is 1.
    """
    from posd.cli.restore_gap import list_command

    return list_command(config, tid, as_json)


@group.command(
    "admit", epilog='Example: posd restore-gap admit --tid 10000001 --by "Li Na" --reason "tills restarted, none waits"'
)
def gap_admit(
    reason: Because,
    config: Config = DEFAULT,
    by: By = None,
    tid: TidOption = None,
    terminal_stan: Annotated[
        int | None,
        typer.Option("--terminal-stan", min=1, max=999_999, metavar="N", help="The terminal's last trace number."),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option("--batch", min=1, max=999_999, metavar="N", help="The host's open batch, if it tells none."),
    ] = None,
    as_json: Json = False,
) -> int:
    """A person vouches for what is new.

    Nobody asks again for what was done before the restore: with --terminal-stan only what the terminal counts above
    that is new, else everything is.
    """
    from posd.cli.restore_gap import admit_command

    return admit_command(config, tid, terminal_stan, batch, by, reason, as_json)


@group.command(
    "resolve", epilog='Example: posd restore-gap resolve --tid 10000001 --by "Li Na" --reason "compared, case 4711"'
)
def gap_resolve(
    reason: Because, config: Config = DEFAULT, by: By = None, tid: TidOption = None, as_json: Json = False
) -> int:
    """A person ends it.

    What was done since the backup has been compared with the acquirer: the settlement goes on. Kept for ever with the
    name and the reason.
    """
    from posd.cli.restore_gap import resolve_command

    return resolve_command(config, tid, by, reason, as_json)
