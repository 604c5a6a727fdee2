"""Static files under names that change with their content, so that browsers cache them for good."""

import hashlib
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "static"


@cache
def immutable_names() -> dict[str, Path]:
    """Return each file under its public name: ``style.css`` becomes ``style-1a2b3c4d5e.css``."""
    return {
        f"{path.stem}-{hashlib.sha256(path.read_bytes()).hexdigest()[:10]}{path.suffix}": path
        for path in FOLDER.iterdir()
        if path.is_file()
    }


@cache
def immutable_name(name: str) -> str:
    """Return the public name of a file in ``blog/static``."""
    return next(public for public, path in immutable_names().items() if path.name == name)
