"""Imports point down, as docs/architecture.md draws the layers."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from blog.urls import url_map

ROOT = Path(__file__).parents[1]

PICTURE = re.search(
    r"^## Who may import whom$.*?^```$\n(.*?)^```$",
    (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"),
    re.DOTALL | re.MULTILINE,
)
assert PICTURE is not None

#: The rows of the picture, from the top down.
ROWS = [set(row.split()) for row in PICTURE[1].splitlines()]


def part(module: str) -> str:
    """Return the name of a module in the picture: that of its package, if it is in one."""
    if module == "blog.__main__":
        return "cli"
    return module.removeprefix("blog.").split(".")[0] if module != "app.wsgi" else module


def height(module: str) -> int:
    return next(number for number, row in enumerate(reversed(ROWS)) if part(module) in row)


def imports(path: Path) -> Iterator[str]:
    """Yield each module of the project that a file imports, at any level of nesting."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            # The pool is installed under two names.
            assert path.is_relative_to(ROOT / "pool"), f"{path}: a relative import"
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [
                f"{node.module}.{alias.name}" if node.module == "blog" else node.module
                for alias in node.names
            ]
        yield from (name for name in names if name.split(".")[0] in {"blog", "pool"})


def modules() -> Iterator[tuple[str, Path]]:
    yield "app.wsgi", ROOT / "app.wsgi"
    for path in sorted([*ROOT.glob("blog/**/*.py"), *ROOT.glob("pool/**/*.py")]):
        yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path


MODULES = dict(modules())


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    for imported in imports(MODULES[module]):
        within = part(imported) == part(module)
        assert within or height(imported) < height(module), f"{module} imports {imported}"


def test_layers_are_complete() -> None:
    drawn = [name for row in ROWS for name in row]
    assert sorted(drawn) == sorted({part(module) for module in MODULES} - {"blog"})


def test_blog_package_imports_nothing() -> None:
    assert list(imports(ROOT / "blog" / "__init__.py")) == []


@pytest.mark.parametrize("module", [name for name in MODULES if ".versions." in name])
def test_migrations_import_only_stable_modules(module: str) -> None:
    assert list(imports(MODULES[module])) == []


def test_only_database_knows_the_pool() -> None:
    users: dict[str, set[str]] = {}
    for name, path in MODULES.items():
        for imported in imports(path):
            if part(imported) == "pool" != part(name):
                users.setdefault(imported, set()).add(name)

    assert users == {
        "pool": {"blog.database"},
        "pool.sqlite": {"blog.database", "blog.operations.migration"},
        "pool.sessions": {"blog.application", "blog.request"},
    }


def test_pool_is_independent() -> None:
    outside = {
        node.module.split(".")[0]
        for path in ROOT.glob("pool/**/*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
    }

    assert outside - sys.stdlib_module_names - {"_typeshed"} == {"sqlalchemy"}


def test_views_do_not_import_views() -> None:
    views = {f"blog.views.{rule.endpoint.partition('.')[0]}" for rule in url_map.iter_rules()}

    assert {name: found for name in views if (found := views & {*imports(MODULES[name])})} == {}
