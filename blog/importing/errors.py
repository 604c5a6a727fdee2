"""The error that stops an import before it begins."""


class SourceError(Exception):
    """There is nothing to import at a path. The message gives the reason and supported formats."""
