"""The settings described, from the comment above each in :class:`blog.config.Config`.

``python -m blog.config.reference`` prints ``docs/settings.md``.
"""

import inspect
import json
from dataclasses import dataclass, fields

from blog.config import PREFIX, Config


@dataclass(frozen=True)
class Setting:
    """A setting as a person needs it: what it is called, what it does, what it takes."""

    name: str
    default: str
    sentence: str
    allowed: str


def settings() -> list[Setting]:
    """Return all settings, in the order in which they stand in ``Config``."""
    sentences = _sentences(inspect.getsource(Config))
    return [
        # TOML writes these values as JSON does.
        Setting(
            each.name,
            json.dumps(each.default),
            sentences[each.name],
            each.metadata["rule"].allowed,
        )
        for each in fields(Config)
    ]


def _sentences(source: str) -> dict[str, str]:
    """Return the comment above each name in `source`, on one line."""
    sentences: dict[str, str] = {}
    comment: list[str] = []
    for line in map(str.strip, source.splitlines()):
        if line.startswith("#: "):
            comment.append(line.removeprefix("#: "))
        elif comment:
            sentences[line.partition(":")[0]] = " ".join(comment)
            comment = []
    return sentences


def as_toml() -> str:
    """Return a settings file in which every setting stands, with its default, commented out."""
    lines = ["# The settings of this blog. Take the # away before those that you change.", ""]
    for each in settings():
        lines += [f"# {each.sentence}", f"#{each.name} = {each.default}", ""]
    return "\n".join(lines)


def as_markdown() -> str:
    """Return the page ``docs/settings.md``."""
    lines = [
        "# Settings",
        "",
        "A setting comes from the first of these that has it: the command line, the environment",
        f"(`{PREFIX}TITLE` sets `title`), the settings file, the default. The settings file is",
        "TOML in UTF-8: the one that `--config` or `THREADLEAF_CONFIG` names, else",
        "`threadleaf.toml` in the current folder; for `app.wsgi`, the one beside it.",
        "`threadleaf init` writes one to start from. A name that is not below, or a value that",
        "is not allowed, stops the start and is named.",
        "",
        "This page is printed by `python -m blog.config.reference`.",
    ]
    for each in settings():
        lines += [
            "",
            f"## `{each.name}`",
            "",
            each.sentence,
            "",
            f"Takes {each.allowed}. Default: `{each.default}`",
        ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    print(as_markdown(), end="")  # noqa: T201
