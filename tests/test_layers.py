"""Imports point down: who may lean on whom, as docs/architecture.md draws it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: From the top down. A module imports from the layers below its own, never from beside or above;
#: within `models` and `importing` neighbours may know each other.
LAYERS = [
    {"blog.__main__", "app.wsgi"},
    {"blog.cli.main", "blog.mod_wsgi"},
    {"blog.cli.comments", "blog.cli.upgrade"},
    {"blog.application"},
    {"blog.views"},
    {
        "blog.importing",
        "blog.feeds.documents",
        "blog.feeds.json_ld",
        "blog.demo",
        "blog.operations.forecast",
    },
    {
        "blog.operations.backfill",
        "blog.comments.moderation",
        "blog.comments.forms",
        "blog.config.reference",
        "blog.server",
        "blog.operations.restore",
    },
    {"blog.templating", "blog.auth.guards", "blog.http.page_cache", "blog.http.security_headers"},
    {
        "blog.http.csrf",
        "blog.http.flash",
        "blog.comments.commenter",
        "blog.http.cached_response",
        "blog.http.hosts",
    },
    {
        "blog.http.cookies",
        "blog.views.pagination",
        "blog.http.static_files",
        "blog.http.compression",
        "blog.views.lookup",
    },
    {"blog.request", "blog.operations.migration"},
    {
        "blog.models.freshness",
        "blog.entries.redirects",
        "blog.search.matches",
        "blog.comments.submission",
    },
    {
        "blog.entries.slugs",
        "blog.search.highlights",
        "blog.comments.learning",
        "blog.operations.outages",
        "blog.http.proxies",
        "blog.search.query",
        "blog.search.ranking",
        "blog.comments.rate_limit",
        "blog.entries.rendering",
        "blog.entries.taxonomy",
    },
    {"blog.database.migrations"},
    {"blog.models"},
    {
        "blog.operations.additions",
        "blog.operations.logs",
        "blog.http.client_network",
        "blog.comments.spam",
    },
    {"blog.config", "blog.database"},
    {"blog.database.search_index", "blog.config.rules"},
    {"blog.markup"},
    {"blog.caches", "blog.text.slugs", "blog.urls"},
    {"blog.config.database_url", "blog.text.folding", "blog.database.postgresql"},
    {"pool"},
]


def part(module: str) -> str:
    """Return the row of LAYERS' name for a module: its package's for the modules of one."""
    return next(
        (p for layer in LAYERS for p in layer if module == p or module.startswith(p + ".")), module
    )


def height(module: str) -> int:
    return next(number for number, layer in enumerate(reversed(LAYERS)) if part(module) in layer)


def imports(path: Path) -> Iterator[str]:
    """Yield each module of the project that a file imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative imports hide the direction"
            from_package = node.module in {"blog", "blog.views", "blog.importing"}
            names = [
                f"{node.module}.{alias.name}" if from_package else node.module
                for alias in node.names
            ]
        yield from (name for name in names if name.split(".")[0] in {"blog", "pool"})


def modules() -> Iterator[tuple[str, Path]]:
    yield "app.wsgi", ROOT / "app.wsgi"
    for path in sorted([*ROOT.glob("blog/**/*.py"), *ROOT.glob("pool/**/*.py")]):
        yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path


MODULES = dict(modules())


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_is_below_it(module: str) -> None:
    for imported in imports(MODULES[module]):
        beside = part(imported) == part(module)
        assert beside or height(imported) < height(module), f"{module} imports {imported}"


def test_blog_itself_imports_nothing() -> None:
    assert list(imports(ROOT / "blog" / "__init__.py")) == []


@pytest.mark.parametrize("module", [name for name in MODULES if ".versions." in name])
def test_a_migration_imports_nothing_that_can_change(module: str) -> None:
    assert list(imports(MODULES[module])) == []


def test_only_database_knows_which_pool_it_is() -> None:
    users: dict[str, set[str]] = {}
    for name, path in MODULES.items():
        for imported in imports(path):
            if part(imported) == "pool" != part(name):
                users.setdefault(imported, set()).add(name)

    assert users == {
        "pool": {"blog.database"},
        "pool.errors": {"blog.operations.migration"},
        "pool.sqlite": {"blog.database", "blog.operations.migration"},
        "pool.sessions": {"blog.application", "blog.request"},
    }


def test_the_pool_stands_alone() -> None:
    outside = {
        node.module.split(".")[0]
        for path in ROOT.glob("pool/*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module
    }

    assert "blog" not in outside


def test_no_view_imports_another_one() -> None:
    views = {name for name in MODULES if name.startswith("blog.views.")}

    assert {name: found for name in views if (found := views & {*imports(MODULES[name])})} == {}
