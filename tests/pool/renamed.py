"""Copy the pool's tests for the wheel, which installs `pool` as `threadleaf_pool`.

    python tests/pool/renamed.py FOLDER && cd FOLDER && python -m pytest tests/pool

The copy differs from the checkout in the imported name only, in programs inside strings too.
"""

import re
import shutil
import sys
from pathlib import Path

_TESTS = Path(__file__).parent
_IMPORT = re.compile(r"\b(from|import) pool\b")


def copy_tests(folder: Path) -> None:
    """Write the tests to `tests/pool` in `folder`.

    :param folder: an empty folder, outside of the checkout.
    """
    copy = folder / "tests" / "pool"
    shutil.copytree(_TESTS, copy, ignore=shutil.ignore_patterns("__pycache__", "upstream"))
    for path in copy.glob("*.py"):
        source = path.read_text(encoding="utf-8")
        path.write_text(_IMPORT.sub(r"\1 threadleaf_pool", source), encoding="utf-8")


if __name__ == "__main__":
    copy_tests(Path(sys.argv[1]))
