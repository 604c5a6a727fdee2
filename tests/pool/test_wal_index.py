"""Noticing commits. Each test is a process, because a process reads few indexes."""

import sys
import textwrap
from pathlib import Path

import pytest

from tests.pool.configured import make_database
from tests.pool.scripts import run

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="the index is not read there"),
    pytest.mark.timeout(90),
]

START = """
    import gc, os, random, sqlite3, subprocess, sys
    from pathlib import Path
    from contextlib import ExitStack, closing
    from concurrent.futures import ThreadPoolExecutor
    from pool.sqlite import opened_file
    from tests.pool.configured import add, configured, make_database, notes_of, writing

    path = Path(sys.argv[1])
    ELSEWHERE = (
        "import sqlite3, sys;"
        "connection = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None);"
        "[connection.execute(statement).fetchall() for statement in sys.argv[2:]];"
        "connection.close()"
    )

    def elsewhere(*statements):
        done = subprocess.run(
            [sys.executable, "-c", ELSEWHERE, path, *statements], capture_output=True, text=True
        )
        return done.stderr.strip().rpartition(chr(10))[2]

    def commits(engine):
        connection = engine.raw_connection()
        try:
            file = opened_file(connection)
            assert file.is_current()
            return file.commits()
        finally:
            connection.close()

    INSERT = "INSERT INTO note VALUES ('another')"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_database(tmp_path / "app.db", "first")


def check(path: Path, script: str) -> None:
    run("-c", textwrap.dedent(START) + textwrap.dedent(script), str(path))


def test_commit_elsewhere_is_seen(path: Path) -> None:
    check(
        path,
        """
        with configured(path) as engine, configured(path) as other:
            before = commits(engine)
            assert before is not None and before == commits(engine) == commits(other)
            assert elsewhere(INSERT) == ""
            after = commits(engine)
            assert after not in {before, None}
            with writing(other) as connection:
                add(connection, "mine")
                assert commits(engine) == after, "nothing is committed yet"
                connection.commit()
            assert commits(engine) not in {before, after, None}
        """,
    )


def test_read_or_rollback_is_no_commit(path: Path) -> None:
    check(
        path,
        """
        with configured(path) as engine:
            before = commits(engine)
            assert notes_of(engine) == ["first"]
            with writing(engine) as connection:
                add(connection, "no")
            assert elsewhere("BEGIN IMMEDIATE", INSERT, "ROLLBACK", "SELECT * FROM note") == ""
            assert commits(engine) == before
        """,
    )


def test_commit_values_are_unique(path: Path) -> None:
    check(
        path,
        """
        chance = random.Random(4)
        between = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"]
        with configured(path) as engine, closing(sqlite3.connect(path, timeout=30)) as writer:
            writer.isolation_level = None
            seen = {commits(engine)}
            for number in range(1, 401):
                # The same change again and again, which leaves the same pages behind.
                writer.execute("UPDATE note SET text = ?", (["a", "b"][number % 2],))
                found = commits(engine)
                assert found is not None and found not in seen, number
                seen.add(found)
                if number % 7 == 0:
                    writer.execute(f"PRAGMA wal_checkpoint({chance.choice(between)})").fetchall()
                    assert notes_of(engine) == [["a", "b"][number % 2]]
                if number % 50 == 0:
                    writer.execute("VACUUM")
                    seen.add(commits(engine))
        """,
    )


def test_commits_in_replaced_file(path: Path) -> None:
    check(
        path,
        """
        with configured(path) as engine:
            assert commits(engine) is not None
            os.replace(make_database(path.with_name("new.db"), "new"), path)
            assert notes_of(engine) == ["new"]
            replaced = commits(engine)
            assert replaced is not None
            assert elsewhere(INSERT) == ""
            assert commits(engine) not in {replaced, None}
            assert notes_of(engine) == ["new", "another"]
        """,
    )


def test_commits_after_reopen(
    path: Path,
) -> None:
    check(
        path,
        """
        index = path.with_name(path.name + "-shm")
        with configured(path) as engine:
            seen = set()
            for _ in range(5):
                seen.add(commits(engine))
                engine.dispose()
                assert not index.exists()
                assert elsewhere(INSERT) == ""
                found = commits(engine)
                assert elsewhere(INSERT) == ""
                assert commits(engine) not in {found, None}
            assert None not in seen and len(notes_of(engine)) == 11
        """,
    )


def test_commits_across_fork(path: Path) -> None:
    check(
        path,
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        with configured(path) as engine:
            before = commits(engine)
            to_child, to_parent = os.pipe(), os.pipe()
            child = os.fork()
            if child == 0:
                inherited = commits(engine)
                os.write(to_parent[1], b".")
                os.read(to_child[0], 1)
                seen = commits(engine)
                with writing(engine) as connection:
                    add(connection, "from the child")
                    connection.commit()
                os._exit(0 if inherited == before and seen not in {before, None} else 1)
            os.read(to_parent[0], 1)
            with writing(engine) as connection:
                add(connection, "from the parent")
                connection.commit()
            after = commits(engine)
            os.write(to_child[1], b".")
            assert os.waitpid(child, 0)[1] == 0
            assert commits(engine) not in {before, after, None}
        """,
    )


def test_no_commit_value_without_wal(tmp_path: Path) -> None:
    check(
        make_database(tmp_path / "app.db", journal="delete"),
        """
        with configured(path) as engine:
            assert commits(engine) is None
        """,
    )


def test_check_keeps_locks(path: Path) -> None:
    check(
        path,
        """
        with configured(path) as engine, writing(engine) as connection:
            add(connection, "mine")
            index = os.stat(f"{path}-shm").st_ino
            with ThreadPoolExecutor(4) as executor:
                assert None not in set(executor.map(commits, [engine] * 40))
            for _ in range(3):
                with configured(path) as other:
                    assert commits(other) is not None
            gc.collect()
            assert elsewhere(INSERT) == "sqlite3.OperationalError: database is locked"
            assert elsewhere("SELECT * FROM note") == ""
            assert os.stat(f"{path}-shm").st_ino == index, "the program that left removed our files"
            connection.commit()
            assert elsewhere(INSERT) == ""
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert len(connection.execute("SELECT * FROM note").fetchall()) == 3
        """,
    )


def test_index_limit(tmp_path: Path) -> None:
    check(
        tmp_path,
        """
        with ExitStack() as stack:
            engines = [
                stack.enter_context(configured(make_database(path / f"{number}.db")))
                for number in range(20)
            ]
            looked_into = [commits(engine) is not None for engine in engines]
            assert looked_into == [True] * 16 + [False] * 4
            assert all(notes_of(engine) == [] for engine in engines)
        """,
    )


def test_blog_queries_after_commit_only(path: Path) -> None:
    pytest.importorskip("jinja2", reason="without what the blog needs")
    check(
        path,
        """
        from blog.database import ask_directly

        COUNT = "SELECT count(*) FROM note"
        with configured(path) as engine:
            asked = []
            driver = engine.raw_connection()
            driver.dbapi_connection.set_trace_callback(asked.append)
            driver.close()
            answers = [ask_directly(engine, COUNT)[0] for _ in range(3)]
            assert elsewhere(INSERT) == ""
            answers += [ask_directly(engine, COUNT)[0] for _ in range(3)]
            assert answers == [1, 1, 1, 2, 2, 2]
            assert asked == [COUNT, COUNT]
            # After the last close SQLite starts over, and its log looks as in the beginning.
            for number in range(3, 9):
                engine.dispose()
                assert elsewhere(INSERT) == ""
                assert ask_directly(engine, COUNT)[0] == number
        """,
    )
