"""Output to the log and the terminal, in which no visitor can forge a line."""

import logging
import os
import sys
from pathlib import Path

import click

#: Characters that control a terminal, or change the order of the text around them: C0, DEL and
#: C1, the line and paragraph separators, and all of Bidi_Control.
#: https://www.unicode.org/reports/tr9/#Bidirectional_Character_Types
_OBEYED = [
    *range(0x20),
    *range(0x7F, 0xA0),
    0x061C,
    *range(0x200E, 0x2010),
    *range(0x2028, 0x202F),
    *range(0x2066, 0x206A),
]
_ESCAPES = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _OBEYED}


def visible(text: str) -> str:
    r"""Return `text` on one line, with control characters escaped: ``\x1b``, ``\u202e``."""
    return text.translate(_ESCAPES)


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number and its noun: ``1 item``, ``2,000 items``.

    :param many: the plural, where it is not `one` with an ``s``.
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


class LogFormatter(logging.Formatter):
    """Formats a record on one line and indents tracebacks: every unindented line is a record."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        return visible(super().formatMessage(record))

    def formatException(self, ei: object) -> str:  # noqa: N802
        lines = super().formatException(ei).split("\n")  # type: ignore[arg-type]
        return "\n".join(f"  {visible(line)}" for line in lines)

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        return "\n".join(f"  {visible(line)}" for line in stack_info.split("\n"))


def log_to_stderr(form: str) -> None:
    """Write warnings and errors of all loggers to stderr, unless logging is already configured.

    :param form: the format of a line, as :class:`logging.Formatter` takes it.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(LogFormatter(form))
    logging.basicConfig(handlers=[handler])


def say(text: str, *, err: bool = False) -> None:
    """Print a line. A full disk or a closed pipe does not stop the command.

    :param err: print to stderr.
    """
    try:
        click.echo(text, err=err)
    except OSError:
        # Otherwise Python would fail to flush the stream at exit, and return 120
        # (https://docs.python.org/3/library/signal.html#note-on-sigpipe).
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), (sys.stderr if err else sys.stdout).fileno())
