"""What can stop an import before it begins."""


class SourceError(Exception):
    """There is nothing to import at a path. The message says why, and what could be imported."""
