"""The log: one line an event, JSON or for a console, each value masked as the last thing before it is written.

Modules take `log` and `alert` from here and never import structlog themselves: structlog loads rich when it is
installed, which a small box cannot afford (D38). The log must never hold a card number, and a line that cannot be
written must never stop the work on money.
"""

import logging
import sys
import threading
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal, TextIO

_UNWANTED = "rich"
_hidden = _UNWANTED not in sys.modules
if _hidden:
    sys.modules[_UNWANTED] = None  # type: ignore[assignment]  # to structlog it is not installed
import structlog  # noqa: E402
import structlog.dev  # noqa: E402

if _hidden:
    del sys.modules[_UNWANTED]

from posd.daemon.logmask import mask_foreign, mask_value  # noqa: E402

Format = Literal["json", "console"]
Level = Literal["debug", "info", "warning", "error"]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
"""The log of every module of the daemon: `log.info("link_ready", peer=...)`; event names are snake_case."""


def alert(event: str, **facts: object) -> None:
    """A line that a person must act on: level critical, with `alert: true`, written at every configured level."""
    log.critical(event, alert=True, **facts)


class Lines:
    """Writes whole lines to a stream; what cannot be written is counted and dropped, never raised."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self.dropped = 0

    def msg(self, line: str) -> None:
        """Write `line`; characters that the stream's encoding lacks are escaped."""
        encoding = self._stream.encoding or "utf-8"
        safe = line.encode(encoding, "backslashreplace").decode(encoding)
        with self._lock:
            try:
                self._stream.write(safe + "\n")
                self._stream.flush()
            except (OSError, ValueError):  # ValueError: a closed stream
                self.dropped += 1

    debug = info = warning = error = critical = msg


def set_up(format: Format = "json", level: Level = "info", stream: TextIO | None = None) -> Lines:
    """Write the log to `stream` (standard output) from `level` on, as JSON lines or for a console; its writer."""
    target = stream if stream is not None else sys.stdout
    lines = Lines(target)
    renderer: Callable[..., Any]
    if format == "json":
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False)
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            # a log's own time decides nothing, so it may read the clock itself
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
            mask_event,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=False,
    )
    return lines


def set_level(level: Level) -> None:
    """From now on write from `level` on; where and how stays."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))


def take_over_strays() -> None:
    """Bring what does not come through `log` to it, masked: the libraries' logging, uncaught exceptions.

    The interpreter's own words for an uncaught exception would go to the journal unmasked.
    """
    root = logging.getLogger()
    root.handlers[:] = [_FromLibraries()]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback)
    sys.unraisablehook = lambda args: _uncaught(args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback)


def mask_event(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """The last processor before the renderer: every value masked, an exception made masked text.

    Nothing behind it may bring in another value; the renderers meet plain JSON values only.
    """
    error = event.pop("exc_info", None)
    event.pop("stack_info", None)
    shown: dict[str, Any] = {str(mask_value(name)): mask_value(value, name) for name, value in event.items()}
    text = _exception_text(error)
    if text is not None:
        shown["exception"] = text
    return shown


def _exception_text(error: object) -> str | None:
    if error is True:
        error = sys.exc_info()
    if isinstance(error, tuple) and len(error) == 3:
        error = error[1]
    if not isinstance(error, BaseException):
        return None
    return mask_foreign("".join(traceback.format_exception(error))).rstrip()


class _FromLibraries(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        level = max(logging.DEBUG, min(logging.CRITICAL, record.levelno // 10 * 10))
        log.log(level, record.getMessage(), library=record.name, exc_info=record.exc_info)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    alert("uncaught_exception", exc_info=(kind, error, trace))


set_up()  # masked from the first line on, also before the settings are known
