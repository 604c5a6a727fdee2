"""Waitress's parser."""

from waitress.parser import HTTPRequestParser


class Parser(HTTPRequestParser):  # type: ignore[misc]
    """Waitress's parser."""
