"""The command line. Each command is run in its own process."""

import os
import re
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from sqlalchemy import create_engine

from blog.operations.migration import HEAD
from tests.importing import EXPORTS
from tests.locks import write_lock
from tests.processes import PATIENCE, THREADLEAF, Server, environment, reserved_port, start
from tests.test_schema import SeedBase

SETTINGS = "threadleaf.toml"


def run(
    folder: Path, *arguments: object, **variables: object
) -> "subprocess.CompletedProcess[str]":
    """Run the command and wait for it to end."""
    return subprocess.run(
        [*THREADLEAF, *map(str, arguments)],
        cwd=folder,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        timeout=PATIENCE,
    )


def done(folder: Path, *arguments: object, **variables: object) -> str:
    """Return the output of a command that succeeds."""
    result = run(folder, *arguments, **variables)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def refused(folder: Path, *arguments: object, **variables: object) -> str:
    """Return the one-line error of a command that fails."""
    result = run(folder, *arguments, **variables)
    assert result.returncode == 1, result.stderr
    assert result.stdout == ""
    assert result.stderr.startswith("threadleaf: ")
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("threadleaf: ").rstrip("\n")


def serving(folder: Path, *arguments: object, **variables: object) -> Server:
    command = [*THREADLEAF, *arguments, "--port", 0]
    return Server(start(command, folder, environment(**variables)))


@pytest.fixture(scope="session")
def new_blog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "new"
    done(folder.parent, "init", folder)
    return folder


@pytest.fixture
def blog(tmp_path: Path, new_blog: Path) -> Path:
    """The folder of a new blog."""
    return shutil.copytree(new_blog, tmp_path / "my blog")


def make_seed(path: Path) -> None:
    engine = create_engine(f"sqlite:///{path.as_posix()}")
    SeedBase.metadata.create_all(engine)
    engine.dispose()


def rows(database: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database)) as shell:
        return shell.execute(query).fetchall()


def test_help_names_commands(tmp_path: Path) -> None:
    said = done(tmp_path, "--help")

    for command in ("init", "upgrade", "import", "serve", "demo"):
        assert f"\n  {command} " in said


@pytest.mark.parametrize(
    "command", [["upgrade"], ["serve"], ["import", EXPORTS], ["comments", "list"]]
)
def test_commands_do_not_create_blog(tmp_path: Path, command: list[object]) -> None:
    assert refused(tmp_path, *command) == (
        f"No blog in {tmp_path}: neither {SETTINGS} nor threadleaf.db exists. Create one "
        "with `threadleaf init`, or name the settings file with --config or THREADLEAF_CONFIG."
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["click", "sqlalchemy", "blog.cli.main"])
def test_interrupt_during_imports(tmp_path: Path, module: str) -> None:
    script = f"""
import sys
class Interrupt:
    def find_spec(self, name, path, target=None):
        if name == "{module}":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
from blog.__main__ import main
main()
"""
    ended = subprocess.run(
        [sys.executable, "-c", script, "serve"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


# init and upgrade


def test_init_creates_settings_and_database(tmp_path: Path) -> None:
    said = done(tmp_path, "init", "myblog")

    assert sorted(path.name for path in (tmp_path / "myblog").iterdir()) == [
        "threadleaf.db",
        SETTINGS,
    ]
    assert "threadleaf.toml. Set title, author and site_url in it." in said
    assert f"Created database {tmp_path / 'myblog' / 'threadleaf.db'}." in said


@pytest.mark.skipif(os.name != "posix", reason="Windows inherits permissions from the folder")
@pytest.mark.parametrize("mask", [0, 0o022])
def test_init_files_are_private(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        done(tmp_path, "init", "new/blog")
        (tmp_path / "old").mkdir(mode=0o755)
        done(tmp_path, "init", "old")
        with serving(tmp_path, "serve", THREADLEAF_DATABASE="served.db") as server:
            server.get("/blog")
            beside = {path.name: modes_of(path) for path in tmp_path.glob("served.db*")}
    finally:
        os.umask(before)
    assert modes_of(tmp_path / "new" / "blog") == 0o700
    # An existing folder keeps its mode.
    assert modes_of(tmp_path / "old") == 0o755 & ~mask
    for folder in ("new/blog", "old"):
        for file in (tmp_path / folder).iterdir():
            assert modes_of(file) == 0o600, file
    assert beside == dict.fromkeys(("served.db", "served.db-shm", "served.db-wal"), 0o600)


def modes_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_init_on_full_disk(tmp_path: Path) -> None:
    (tmp_path / "blog.db").symlink_to("/dev/full")

    said = refused(tmp_path, "upgrade", THREADLEAF_DATABASE="blog.db")
    assert "cannot be used (database or disk is full): free space on the disk of " in said


def test_init_with_similar_names(tmp_path: Path) -> None:
    names = ["q?a", "q?b", "q\n"] if os.name == "posix" else []
    names += ["q", "q%41"]
    for name in names:
        done(tmp_path, "init", name)
    for name in names:
        assert {path.name for path in (tmp_path / name).iterdir()} == {"threadleaf.db", SETTINGS}
    assert len(list(tmp_path.iterdir())) == len(names)


def test_init_twice_changes_nothing(blog: Path) -> None:
    (blog / SETTINGS).write_text('title = "Kept"\n', encoding="utf-8")
    before = rows(blog / "threadleaf.db", "SELECT * FROM site")

    said = done(blog, "init")
    assert "already exists; left unchanged." in said
    assert "is already up to date." in said
    assert (blog / SETTINGS).read_text(encoding="utf-8") == 'title = "Kept"\n'
    assert rows(blog / "threadleaf.db", "SELECT * FROM site") == before


def test_upgrade_creates_missing_database(blog: Path) -> None:
    (blog / "threadleaf.db").unlink()

    assert done(blog, "upgrade").startswith("Created database ")
    assert done(blog, "upgrade").endswith("is already up to date.\n")


def test_upgrade_of_seed_database(tmp_path: Path) -> None:
    make_seed(tmp_path / "seed.db")

    said = done(tmp_path, "upgrade", THREADLEAF_DATABASE="seed.db")
    assert said.endswith(f"seed.db from schema 0001 to {HEAD}.\n")


def test_upgrade_renames_shadowed_entries(tmp_path: Path) -> None:
    make_seed(tmp_path / "seed.db")
    titles = ["Archive", "Privacy", "Search", "Tag", "Tags", "2013", "Archive 2", "Tea"]
    with closing(sqlite3.connect(tmp_path / "seed.db")) as shell, shell:
        for title in titles:
            shell.execute(
                "INSERT INTO entry (title, body, timestamp, featured) VALUES (?, ?, ?, 0)",
                (title, f"On {title}.", "2013-01-02 12:00:00.000000"),
            )

    said = done(tmp_path, "upgrade", THREADLEAF_DATABASE="seed.db")
    assert (
        "Moved /blog/archive to /blog/archive-3: the blog has its own page at that address.\n"
        in said
    )
    with serving(tmp_path, "serve", THREADLEAF_DATABASE="seed.db") as server:
        for title, slug in rows(tmp_path / "seed.db", "SELECT title, slug FROM entry"):
            assert f"On {title}." in server.get(f"/blog/{slug}")
            server.get(f"/blog/{slug}/feed.atom")


def test_serve_warns_of_shadowed_entry(blog: Path) -> None:
    with closing(sqlite3.connect(blog / "threadleaf.db")) as shell, shell:
        shell.execute(
            "INSERT INTO entry (title, body, timestamp, featured, slug, state, uid, updated, "
            "format, kind, comments_open) VALUES ('Tags', '', '2013-01-02', 0, 'tags', "
            "'published', 'u', '2013-01-02', 'markdown', 'entry', 1)"
        )

    warning = "The entry 'tags' cannot be reached, because the blog has its own page there"
    with serving(blog, "serve") as server:
        server.stop()
        assert warning in server.ended()[2]
    assert "Moved /blog/tags to /blog/tags-2: " in done(blog, "upgrade")
    with serving(blog, "serve") as server:
        server.stop()
        assert server.ended()[2] == ""


@pytest.mark.parametrize(
    "command", [["upgrade"], ["init"], ["serve"], ["import", EXPORTS / "jekyll"]]
)
def test_cli_refuses_foreign_database(tmp_path: Path, command: list[object]) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as shell:
        shell.execute("CREATE TABLE customer (id INTEGER)")
    before = (tmp_path / "other.db").read_bytes()

    result = run(tmp_path, *command, THREADLEAF_DATABASE=tmp_path / "other.db")
    assert result.returncode == 1
    assert re.search(
        r"^threadleaf: The database \S+other.db belongs to another program \(it has the tables "
        r"customer\) and was not changed: set `database` to a new file or an empty database\.\n$",
        result.stderr,
    )
    assert (tmp_path / "other.db").read_bytes() == before


def test_settings_file_option_and_variable(blog: Path, tmp_path: Path) -> None:
    settings = blog / SETTINGS

    assert done(tmp_path, "--config", settings, "upgrade").endswith("is already up to date.\n")
    assert done(tmp_path, "upgrade", THREADLEAF_CONFIG=settings).endswith(
        "is already up to date.\n"
    )


# import


def test_import_is_repeatable(blog: Path) -> None:
    said = done(blog, "import", EXPORTS / "jekyll")
    number = int(said.split(" imported, ")[0].split(" ")[-1])
    assert number > 0
    assert rows(blog / "threadleaf.db", "SELECT count(*) FROM entry") == [(number,)]

    assert f" 0 imported, 0 updated, {number} unchanged" in done(blog, "import", EXPORTS / "jekyll")


def test_import_dry_run_changes_nothing(blog: Path) -> None:
    said = done(blog, "import", "--dry-run", EXPORTS / "jekyll")

    assert said.endswith("Dry run: nothing was changed.\n")
    assert rows(blog / "threadleaf.db", "SELECT count(*) FROM entry") == [(0,)]


def test_import_creates_but_never_upgrades(tmp_path: Path) -> None:
    assert "blog.db." in done(tmp_path, "import", EXPORTS / "jekyll", THREADLEAF_DATABASE="blog.db")
    make_seed(tmp_path / "seed.db")
    said = refused(tmp_path, "import", EXPORTS / "jekyll", THREADLEAF_DATABASE="seed.db")
    assert said.endswith("run `threadleaf upgrade`.")


def test_import_without_items(blog: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert str(tmp_path / "empty") in refused(blog, "import", tmp_path / "empty")

    result = run(blog, "import", tmp_path / "none")
    assert result.returncode == 2
    assert "does not exist." in result.stderr


def test_import_of_unprintable_names(blog: Path, tmp_path: Path) -> None:
    folder = tmp_path / "posts"
    folder.mkdir()
    (folder / "2026-01-02-one.md").write_text("# One\n\nText.\n", encoding="utf-8")
    (folder / "葉.txt").write_text("Notes.\n", encoding="utf-8")

    said = done(blog, "import", folder, PYTHONIOENCODING="cp1252")
    assert "\\u8449.txt" in said


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C would reach pytest as well")
def test_import_resumes_after_interrupt(blog: Path, tmp_path: Path) -> None:
    folder = tmp_path / "posts"
    folder.mkdir()
    for number in range(300):
        text = f"# Post {number}\n\nIts text is {number}.\n"
        (folder / f"2026-01-02-post-{number}.md").write_text(text, encoding="utf-8")

    with start([*THREADLEAF, "import", folder], blog) as process:
        while rows(blog / "threadleaf.db", "SELECT count(*) FROM entry") < [(20,)]:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        said, complained = process.communicate(timeout=PATIENCE)
    assert (process.returncode, complained) == (130, "")
    assert said.endswith("Stopped. Imported items are saved; run the same command to continue.\n")
    ((stored,),) = rows(blog / "threadleaf.db", "SELECT count(*) FROM entry")
    assert f"{stored} imported" in said
    assert stored < 300
    assert f"{300 - stored} imported, 0 updated, {stored} unchanged" in done(blog, "import", folder)


# serve and demo


def test_serve_creates_missing_database(blog: Path) -> None:
    (blog / "threadleaf.db").unlink()
    (blog / SETTINGS).write_text('title = "Pond life"\n', encoding="utf-8")

    with serving(blog, "serve") as server:
        made, ready = server.greeting.splitlines()
        assert made.startswith("Created database ")
        assert ready == f"Serving Pond life at {server.url}/blog (Ctrl-C to stop)."
        assert "Nothing has been published yet." in server.get("/blog")


def test_serve_on_port_0_sets_site_url(blog: Path) -> None:
    (blog / SETTINGS).write_text("", encoding="utf-8")
    with serving(blog, "serve") as server:
        assert f'<link rel="canonical" href="{server.url}/blog">' in server.get("/blog")
        assert f"<loc>{server.url}/blog</loc>" in server.get("/sitemap.xml")
    url = "https://blog.example"
    with serving(blog, "serve", THREADLEAF_SITE_URL=url) as server:
        assert f'<link rel="canonical" href="{url}/blog">' in server.get("/blog")


@pytest.fixture
def port() -> Iterator[int]:
    with reserved_port() as port:
        yield port


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
@pytest.mark.parametrize("output", ["full", "closed pipe", "none"])
def test_serve_without_output(blog: Path, output: str, port: int) -> None:
    (blog / "threadleaf.db").unlink()
    shell = {
        "full": 'exec "$@" >/dev/full',
        "closed pipe": 'sleep 0.1; exec "$@"',
        "none": 'exec "$@" >&-',
    }
    command = ["sh", "-c", shell[output], "sh", *map(str, THREADLEAF), "serve", "--port", str(port)]
    process = start(command, blog, environment())
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    try:
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < deadline:
            try:
                with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=PATIENCE) as response:
                    assert response.status == 200
                break
            except URLError:
                time.sleep(0.05)
        process.terminate()
        _, logged = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert (process.returncode, logged) == (0, "")


def test_serve_ends_on_signal(blog: Path) -> None:
    with serving(blog, "serve") as server:
        server.get("/blog")
        server.stop()
        assert server.ended() == (0, "", "")
    # SQLite's side files are gone, so one file is the whole blog.
    assert [path.name for path in blog.glob("*.db*")] == ["threadleaf.db"]


def test_serve_with_unprintable_title(blog: Path) -> None:
    # A Windows service prints to a file in the machine's code page.
    with serving(blog, "serve", PYTHONIOENCODING="cp1252", THREADLEAF_TITLE="葉") as server:
        assert server.greeting.startswith("Serving \\u8449 at http://")
        assert "<title>葉</title>" in server.get("/blog")


def test_demo_has_entries_and_comments(tmp_path: Path) -> None:
    with serving(tmp_path, "demo") as server:
        front = server.get("/blog")
        assert front.count('class="h-entry') >= 10
        assert "The slow post" in server.get("/blog/tags") + server.get("/blog/2025")


def test_demo_leaves_nothing(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), temporary)

    with serving(tmp_path, "demo", **places) as server:
        server.get("/blog")
        assert list(temporary.iterdir()) != []
        server.stop()
        assert server.ended()[0] == 0
    assert list(temporary.iterdir()) == []
    assert list(tmp_path.iterdir()) == [temporary]


# Errors


def test_serve_on_used_port(blog: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        assert refused(blog, "serve", "--port", port).startswith(
            f"Cannot listen on port {port} of 127.0.0.1: the port is in use."
        )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "colour = 1",
            'threadleaf.toml: unknown setting "colour". Known settings: title, tagline, ',
        ),
        ('hosts = "a,b"', "but must be host names such as blog.example.org, without ports"),
        ('trusted_proxy = "nginx"', "but must be an IP address such as 127.0.0.1, or empty."),
        ('media = "."', "threadleaf.db': readers could download it."),
        ("per_page = 0", "per_page is 0, but must be a whole number from 1 to 100."),
        ("title = Pond life", "is not valid TOML in UTF-8: "),
    ],
)
def test_invalid_setting_in_file(blog: Path, line: str, said: str) -> None:
    (blog / SETTINGS).write_text(line + "\n", encoding="utf-8")

    assert said in refused(blog, "serve")


def test_invalid_setting_outside_file(blog: Path) -> None:
    assert refused(blog, "upgrade", THREADLEAF_COLOUR="red").startswith(
        'THREADLEAF_COLOUR: unknown setting "colour". Known settings: '
    )
    assert refused(blog, "serve", "--port", 65536).startswith("port is 65536, but must be ")


def test_settings_file_missing(tmp_path: Path) -> None:
    said = refused(tmp_path, "serve", THREADLEAF_CONFIG="none.toml")
    assert said == "Cannot read the settings file none.toml: No such file or directory."

    result = run(tmp_path, "--config", "none.toml", "serve")
    assert result.returncode == 2
    assert result.stderr.endswith("File 'none.toml' does not exist.\n")


@pytest.mark.parametrize("command", ["serve", "upgrade"])
def test_cli_refuses_non_database(tmp_path: Path, command: str) -> None:
    (tmp_path / "notes.txt").write_text("These are notes. " * 100)

    assert "notes.txt cannot be used (file is not a database): set `database` to " in refused(
        tmp_path, command, THREADLEAF_DATABASE="notes.txt"
    )


@pytest.mark.skipif(os.name != "posix", reason="needs a read-only folder")
def test_init_without_permission(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert refused(tmp_path, "init", "/proc/nope/blog").startswith("/proc/nope cannot be used: ")
    assert "file/blog cannot be used: Not a directory" in refused(tmp_path, "init", "file/blog")


@pytest.mark.parametrize("command", ["serve", "upgrade"])
def test_init_in_missing_folder(tmp_path: Path, command: str) -> None:
    said = refused(tmp_path, command, THREADLEAF_DATABASE="none/blog.db")

    assert "check that its folder exists and that " in said
    with pytest.raises(FileNotFoundError) as missing:
        (tmp_path / "none").stat()
    assert f"{tmp_path / 'none'}: {missing.value.strerror}" in said


def test_serve_does_not_upgrade(tmp_path: Path) -> None:
    make_seed(tmp_path / "seed.db")

    said = refused(tmp_path, "serve", THREADLEAF_DATABASE="seed.db")
    assert said.endswith(f"this Threadleaf needs {HEAD}: run `threadleaf upgrade`.")


def test_cli_reports_locked_database(tmp_path: Path) -> None:
    make_seed(tmp_path / "seed.db")

    with write_lock(tmp_path / "seed.db"):
        said = refused(tmp_path, "upgrade", THREADLEAF_DATABASE="seed.db")
    assert said.endswith(
        "cannot be used (database is locked): stop the other program that is writing to it, "
        "then try again."
    )
    assert rows(tmp_path / "seed.db", "PRAGMA journal_mode") == [("delete",)]


def test_cli_waits_for_writer(blog: Path) -> None:
    with closing(sqlite3.connect(blog / "threadleaf.db")) as shell:
        shell.execute("DROP TRIGGER month_insert")
    with (
        write_lock(blog / "threadleaf.db") as other,
        start([*THREADLEAF, "upgrade"], blog) as process,
    ):
        time.sleep(2.5)
        assert process.poll() is None
        other.execute("COMMIT")
        said, complained = process.communicate(timeout=PATIENCE)
    assert (process.returncode, complained) == (0, "")
    assert said.endswith("is already up to date.\n")
