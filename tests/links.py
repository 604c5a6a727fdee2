"""Symbolic links, where the platform allows them."""

from pathlib import Path

import pytest


def make_link(path: Path, target: Path | str) -> None:
    """Create a symbolic link at `path`, or skip the test."""
    try:
        path.symlink_to(target, target_is_directory=(path.parent / target).is_dir())
    except OSError as error:  # Windows requires a privilege
        pytest.skip(f"this user cannot create symbolic links ({error})")
    if not path.is_symlink():
        pytest.skip("wine reports success without creating symbolic links")
