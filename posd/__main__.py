"""The program: `posd run` at once, everything else through the command line's own room.

`run` is dispatched before anything of the command line is imported: the daemon must stay light (D38). Nothing that
happens may end in a traceback: it could show what must not be shown, and tells a shop nothing.

Exit status: 0 good; 1 there are findings; 2 misuse or bad configuration; 3 failure; 130 interrupted; 141 nobody reads.
"""

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from traceback import extract_tb
from types import TracebackType

from posd.cli import exit_status
from posd.cli.exit_status import CONFIG_DEFAULT, CONFIG_VARIABLE
from posd.errors import ConfigError, PosdError


def main(argv: Sequence[str] | None = None) -> int:
    """Run `posd` with `argv` (without the program's name); gives the exit status."""
    args = list(sys.argv[1:] if argv is None else argv)
    sys.excepthook = _bug
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what a locale cannot say must not end the command
    try:
        status = _dispatch(args)
        sys.stdout.flush()
        return status
    except PosdError as error:
        return _say(str(error), exit_status.MISUSE if isinstance(error, ConfigError) else exit_status.FAILURE)
    except KeyboardInterrupt:
        return exit_status.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more at its end
        return exit_status.NOBODY_READS
    except OSError as error:
        name = f" {error.filename}" if error.filename else ""
        return _say(f"cannot use{name}: {error.strerror or error}", exit_status.FAILURE)


def _dispatch(args: list[str]) -> int:
    if args[:1] == ["run"] and not {"-h", "--help"} & set(args):
        return _run(args[1:])
    from posd.daemon.undumped import never_dump

    never_dump()  # a component that is typed, a message that is decoded: Ctrl-\ must not write it to a disk (D29)
    from posd.cli.app import run_command_line

    if args == ["--version"]:
        args = ["version"]
    return run_command_line(args)


def _run(args: list[str]) -> int:
    config = _config_of(args)
    from posd.daemon.assemble import run

    return run(config)


def _config_of(args: list[str]) -> Path:
    """`--config FILE`, `--config=FILE`, or the variable, or the default. Raises ConfigError."""
    match args:
        case []:
            return Path(os.environ.get(CONFIG_VARIABLE) or CONFIG_DEFAULT)
        case ["--config", file] if file:
            return Path(file)
        case [option] if option.startswith("--config=") and option != "--config=":
            return Path(option.removeprefix("--config="))
        case _:
            raise ConfigError("run takes only --config FILE; example: posd run --config /etc/posd/posd.yaml")


def _say(text: str, status: int) -> int:
    for line in text.splitlines():
        print(f"posd: {line}", file=sys.stderr)
    return status


def _bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What nobody expected: its kind and place in one line, never its text, which could hold anything."""
    frames = extract_tb(trace)
    ours = [frame for frame in frames if f"{os.sep}posd{os.sep}" in frame.filename] or frames
    place = f" at {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
    _say(f"internal error: {kind.__name__}{place}; this is a bug of posd: please report it", exit_status.FAILURE)
    sys.stdout.flush()
    os._exit(exit_status.FAILURE)  # the interpreter's own status would be 1, which means findings


if __name__ == "__main__":
    sys.exit(main())
