"""`posd backup`: the commands with their options and examples."""

from pathlib import Path
from typing import Annotated

import typer

from posd.cli.options import DEFAULT, By, Config, Json

group = typer.Typer(help="Keep the journal elsewhere: create, list, verify, restore. 备份", rich_markup_mode=None)

Name = Annotated[
    str | None, typer.Argument(metavar="[BACKUP]", help="A name, or its folder; else the newest.", show_default=False)
]


@group.command(
    "create", epilog='Examples: posd backup create; systemctl stop posd && posd backup create --final --by "Li Na"'
)
def backup_create(
    config: Config = DEFAULT,
    final: Annotated[bool, typer.Option("--final", help="End this journal: it moves to another machine. 迁移")] = False,
    by: By = None,
    as_json: Json = False,
) -> int:
    """Make one more.

    Beside the running daemon or a stopped one; whole, read back and checked, or not there. With --final (posd has to
    be stopped) posd does not start on this journal any more, and its backup is restored without a gap.
    """
    from posd.cli.backup.create import create_command

    return create_command(config, final, by, as_json)


@group.command("list", epilog="Example: posd backup list --json")
def backup_list(config: Config = DEFAULT, as_json: Json = False) -> int:
    """What there is.

    When one cannot be used, the exit status is 1.
    """
    from posd.cli.backup.show import list_command

    return list_command(config, as_json)


@group.command("verify", epilog="Example: posd backup verify --scratch /var/tmp")
def backup_verify(
    name: Name = None,
    config: Config = DEFAULT,
    scratch: Annotated[
        Path | None, typer.Option("--scratch", metavar="DIR", help="Where to restore it for the proof.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Prove one by restoring it.

    Into a scratch place: every row against the chain, every terminal folded anew and compared with the manifest. When
    there are findings, the exit status is 1.
    """
    from posd.cli.backup.proof import verify_command

    return verify_command(config, name, scratch, as_json)


@group.command(
    "restore",
    epilog="Examples: posd backup restore --move-aside; posd backup restore /mnt/20260302T230000000Z-000120000 "
    "--last-stan 10000001=120455",
)
def backup_restore(
    name: Name = None,
    config: Config = DEFAULT,
    move_aside: Annotated[
        bool, typer.Option("--move-aside", help="Move the journal that is there to a folder beside it.")
    ] = False,
    stan_gap: Annotated[
        int | None,
        typer.Option("--stan-gap", min=1, max=400_000, metavar="N", help="Trace numbers to jump over; else 10000."),
    ] = None,
    last_stan: Annotated[
        list[str] | None,
        typer.Option("--last-stan", metavar="TID=N", help="The last number that was used; may be repeated."),
    ] = None,
    keys_from: Annotated[
        Path | None, typer.Option("--keys-from", metavar="DIR", help="Copies of data keys; else backup.keys_to.")
    ] = None,
    without_damaged: Annotated[
        bool,
        typer.Option("--without-damaged-months", help="Leave out archived months that are damaged in the backup."),
    ] = False,
    by: By = None,
    as_json: Json = False,
) -> int:
    """Put one in the journal's place.

    posd has to be stopped. An older journal is marked so that nothing is sold, reversed or settled twice: until a
    person has compared what is not known with the acquirer, see posd restore-gap. Then the exit status is 1.
    """
    from posd.cli.backup.restore import Wanted, restore_command

    wanted = Wanted(name, move_aside, stan_gap, last_stan or (), keys_from, by, without_damaged)
    return restore_command(config, wanted, as_json)


@group.command("take-back", epilog='Example: posd backup take-back --by "Li Na" --reason "the new box never ran"')
def backup_take_back(
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who decides.", show_default=False)],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.", show_default=False)],
    config: Config = DEFAULT,
    as_json: Json = False,
) -> int:
    """Go on with an ended journal.

    Only when its final backup never ran elsewhere: two machines on one journal use every trace number twice.
    """
    from posd.cli.backup.moving import take_back_command

    return take_back_command(config, by, reason, as_json)
