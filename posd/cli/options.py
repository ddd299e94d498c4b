"""The options that several commands share, with the same name and meaning everywhere."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from posd.cli.exit_status import CONFIG_DEFAULT, CONFIG_VARIABLE

Config = Annotated[
    Path, typer.Option("--config", metavar="FILE", envvar=CONFIG_VARIABLE, help="The configuration file.")
]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]
Utc = Annotated[bool, typer.Option("--utc", help="Times in UTC.")]
Profile = Annotated[Literal["unionpay", "nac"], typer.Option("--profile", help="The dialect. 方言")]
TidOption = Annotated[str | None, typer.Option("--tid", metavar="TID", help="Only this terminal.")]
BatchOption = Annotated[int | None, typer.Option("--batch", min=1, max=999_999, help="Only this batch number.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="At most so many.")]
Lang = Annotated[str | None, typer.Option("--lang", metavar="en|zh", help="Language; else that of LANG. 语言")]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who wants it; else your user's name.")]
Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why.")]
RequestOption = Annotated[str | None, typer.Option("--request-id", metavar="ID", help="Only this request.")]
StanOption = Annotated[int | None, typer.Option("--stan", min=1, max=999_999, help="Only this trace number.")]
RrnOption = Annotated[str | None, typer.Option("--rrn", metavar="RRN", help="Only this retrieval reference number.")]
After = Annotated[int | None, typer.Option("--after", min=0, metavar="ROW", help="Only rows after this one.")]
Id = Annotated[
    str, typer.Argument(metavar="ID", help="A request id, an RRN, a till's key, or TID/STAN.", show_default=False)
]

DEFAULT = Path(CONFIG_DEFAULT)
