"""Our templates, in somebody else's Jinja environment."""

import re
from collections.abc import Callable
from typing import Any

from jinja2 import Environment

from blog import templating
from blog.staticfiles import immutable_name
from blog.templating import csrf_token

FOLDERS = [str(folder) for folder in templating.FOLDERS]


def additions(url_for: Callable[..., str], site_url: str) -> dict[str, Any]:
    """Return what the templates expect as globals, with addresses made by `url_for`."""
    return {
        "url_for": url_for,
        "absolute_url_for": lambda endpoint, **values: site_url + url_for(endpoint, **values),
        "static": lambda name: url_for("machines.static", name=immutable_name(name)),
        "csrf_token": csrf_token,
        "flashed": list,
    }


def translated(rule: str, number: str, text: str) -> str:
    """Return a rule of our map as another framework writes it.

    :param number: how that writes a part that is a whole number, as in ``<int:{}>``.
    :param text: how it writes any other part.
    """

    def part(found: re.Match[str]) -> str:
        return (number if found[1].startswith("int") else text).format(found[2])

    return re.sub(r"<((?:[^>]*:)?)(\w+)>", part, rule)


def dress(environment: Environment, url_for: Callable[..., str], site_url: str) -> None:
    """Let `environment` fill in our templates."""
    # Without these, the blanks of a page would be others.
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters |= templating.environment.filters
    environment.globals |= additions(url_for, site_url)
