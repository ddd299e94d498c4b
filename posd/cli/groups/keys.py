"""`posd keys`: the commands with their options and examples."""

from pathlib import Path
from typing import Annotated

import typer

from posd.cli.options import DEFAULT, Config, Json, Lang

group = typer.Typer(help="TMKs and the machine key: load, list, remove, rotate. 密钥", rich_markup_mode=None)

KeyTid = Annotated[str, typer.Option("--tid", metavar="TID", help="Field 41, 8 characters.", show_default=False)]
Index = Annotated[int, typer.Option("--index", min=0, max=9, help="Which of the terminal's TMKs.")]


@group.command(
    "load",
    epilog="Examples: posd keys load --tid 10000001; posd keys load --tid 10000001 --index 1 --components 3; posd keys "
    'load --tid 10000001 --component-file a --by "Li Na" --component-file b --by "Wang Wei" --check-value 9BE3BD',
)
def keys_load(
    tid: KeyTid,
    index: Index = 0,
    components: Annotated[int, typer.Option("--components", min=2, max=3, help="How many there are.")] = 2,
    files: Annotated[
        list[Path] | None,
        typer.Option("--component-file", metavar="FILE", help="Mode 0600; one for each component, asks nothing."),
    ] = None,
    by: Annotated[list[str] | None, typer.Option("--by", metavar="NAME", help="Who holds it, for each file.")] = None,
    check_value: Annotated[
        str | None, typer.Option("--check-value", metavar="DIGITS", help="Of the acquirer's letter: refuse any other.")
    ] = None,
    any_parity: Annotated[bool, typer.Option("--any-parity", help="The components have no odd parity.")] = False,
    config: Config = DEFAULT,
    as_json: Json = False,
    lang: Lang = None,
) -> int:
    """Enter a TMK as components of different people. 载入主密钥

    Hidden input; the check value is shown at each step. Nothing is kept until the end, and no key is ever replaced.
    """
    from posd.cli.keys.load import Asked, load_command
    from posd.cli.lang import chosen

    asked = Asked(config, tid, index, components, tuple(files or ()), tuple(by or ()), check_value, any_parity)
    return load_command(asked, as_json, chosen(lang))


@group.command("list", epilog="Example: posd keys list --lang zh")
def keys_list(config: Config = DEFAULT, as_json: Json = False, lang: Lang = None) -> int:
    """Every TMK, by check value and age. 查看主密钥"""
    from posd.cli.keys.kept import list_command
    from posd.cli.lang import chosen

    return list_command(config, as_json, chosen(lang))


@group.command(
    "remove", epilog='Example: posd keys remove --tid 10000001 --index 1 --by "Li Na" --reason "replaced by index 2"'
)
def keys_remove(
    tid: KeyTid,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who decides.", show_default=False)],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.", show_default=False)],
    index: Index = 0,
    config: Config = DEFAULT,
    as_json: Json = False,
    lang: Lang = None,
) -> int:
    """Destroy a TMK that no terminal works with. 删除主密钥

    Kept for ever with the name and the reason.
    """
    from posd.cli.keys.kept import remove_command
    from posd.cli.lang import chosen

    return remove_command(config, tid, index, by, reason, as_json, chosen(lang))


@group.command("rotate", epilog='Example: posd keys rotate --by "Li Na"')
def keys_rotate(
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who decides.", show_default=False)],
    config: Config = DEFAULT,
    as_json: Json = False,
    lang: Lang = None,
) -> int:
    """Another machine key, while posd goes on. 更换本机主密钥

    Everything is wrapped anew; run again after a kill it goes on. Old backups of data keys need the old key.
    """
    from posd.cli.keys.rotate import rotate_command
    from posd.cli.lang import chosen

    return rotate_command(config, by, as_json, chosen(lang))
