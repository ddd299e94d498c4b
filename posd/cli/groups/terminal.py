"""`posd terminal`: the commands with their options and examples."""

from typing import Annotated

import typer

from posd.cli.options import DEFAULT, By, Config, Json

group = typer.Typer(help="One terminal: its batch number, its parameters. 终端", rich_markup_mode=None)


@group.command("download", epilog="Example: posd terminal download 10000001 --json")
def terminal_download(
    tid: Annotated[str, typer.Argument(metavar="TID", show_default=False)],
    config: Config = DEFAULT,
    by: By = None,
    as_json: Json = False,
) -> int:
    """Ask the host for the terminal's parameters now. 参数下载

    What it tells is shown and kept (posd status --tid TID); host.parameters says whether posd goes by it. Exit status 1
    when the host has not told it (yet): posd asks again by itself. Refused where the dialect has none (profile: nac).
    """
    from posd.cli.terminal import download_command

    return download_command(config, tid, by, as_json)


@group.command(
    "batch",
    epilog="Example: posd terminal batch 12345678 --number 7 "
    '--by "Li Na" --reason "code 80; the acquirer has batch 7 open, case 4711"',
)
def terminal_batch(
    tid: Annotated[str, typer.Argument(metavar="TID", show_default=False)],
    number: Annotated[
        int, typer.Option("--number", min=1, max=999_999, help="What the acquirer has open.", show_default=False)
    ],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.", show_default=False)],
    config: Config = DEFAULT,
    by: By = None,
    as_json: Json = False,
) -> int:
    """A person gives the open batch another number. 更改批次号

    Where the terminal counts its batches and the host answers "bad batch number" (profile: nac, code 80). Refused while
    the host may have acted on the old number, and while something is owed; kept for ever with the name and the reason.
    """
    from posd.cli.terminal import batch_command

    return batch_command(config, tid, number, by, reason, as_json)
