"""Runs a real Apache with mod_wsgi from its own directory, beside the system's."""

import http.client
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.processes import reserved_port

#: Environment variable that names the virtual environment for mod_wsgi.
HOME_VARIABLE = "APACHE_PYTHON_HOME"

_MODULES = [
    "/usr/lib/apache2/modules",
    "/usr/lib64/httpd/modules",
    "/usr/lib/httpd/modules",
    "/usr/libexec/apache2",
]
_USERS = ["www-data", "apache", "http", "nobody"]

# Seconds for Apache to start, stop, or answer.
_PATIENCE = 30


def missing(script: Path) -> str | None:
    """Return what is missing to run Apache with `script`; empty if nothing is."""
    if os.name != "posix":
        return "Apache is run from a private directory on POSIX systems only"
    if _program() is None:
        return "neither apache2 nor httpd is installed"
    if _modules() is None:
        return f"mod_wsgi.so is in none of {', '.join(_MODULES)}"
    home = python_home()
    if home is None:
        return (
            f"{HOME_VARIABLE} names no virtual environment, and this Python is not the one that "
            "mod_wsgi embeds"
        )
    user, group = _account() or (None, None)
    # mod_wsgi fails with an unrelated message if its user cannot enter a parent directory.
    try:
        subprocess.run(
            [home / "bin" / "python", "-c", "import sys; open(sys.argv[1]).close()", script],
            check=True,
            capture_output=True,
            timeout=_PATIENCE,
            user=user,
            group=group,
            extra_groups=[] if user else None,
        )
    except (OSError, subprocess.CalledProcessError):
        return f"Apache's user {user} cannot run {home} or read {script}"
    return None


@cache
def python_home() -> Path | None:
    """The environment for mod_wsgi: the configured one, or ours if the Python is the same."""
    if HOME_VARIABLE in os.environ:
        return Path(os.environ[HOME_VARIABLE]).absolute()
    library = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so".encode()
    modules = _modules()
    if sys.base_prefix == "/usr" and modules and library in (modules / "mod_wsgi.so").read_bytes():
        return Path(sys.prefix)
    return None


@contextmanager
def open_directory() -> Iterator[Path]:
    """A directory that the server's user can enter; under root, pytest's own are closed to it."""
    with tempfile.TemporaryDirectory(prefix="threadleaf-") as name:
        Path(name).chmod(0o755)
        yield Path(name).resolve()


def daemon(script: Path, *, processes: int, threads: int) -> str:
    """Configure daemon mode: `script` runs in its own processes."""
    return f"""
        WSGIDaemonProcess blog processes={processes} threads={threads} \\
            python-home={python_home()} python-path={script.parent} \\
            lang=C.UTF-8 locale=C.UTF-8 queue-timeout=45 request-timeout=60 \\
            graceful-timeout=15 shutdown-timeout=5
        WSGIProcessGroup blog
        WSGIRestrictEmbedded On
        {_site(script)}
    """


def embedded(script: Path, *, processes: int, threads: int) -> str:
    """Configure embedded mode: `script` runs in Apache's processes."""
    workers = processes * threads
    return f"""
        StartServers {processes}
        ServerLimit {processes}
        ThreadsPerChild {threads}
        MaxRequestWorkers {workers}
        MinSpareThreads {workers}
        MaxSpareThreads {workers}
        WSGIPythonHome {python_home()}
        WSGIPythonPath {script.parent}
        {_site(script)}
    """


def hammer(urls: Sequence[str], total: int = 1000, at_a_time: int = 16) -> Counter[int]:
    """Request `urls` in turn, each on a new connection, and count the status codes.

    :raises OSError, http.client.HTTPException: a response is missing or incomplete.
    """
    with ThreadPoolExecutor(at_a_time) as pool:
        return Counter(pool.map(_status, islice(cycle(urls), total)))


class Apache:
    """Apache, running while the block runs.

    :param directory: one made by `open_directory`. Under root, all of its content is given to the
        server's user at the start, including a database.
    :param site: the site's configuration: from `daemon`, from `embedded`, or any other.
    :param environment: variables for the application, in addition to ours.
    """

    def __init__(
        self, directory: Path, site: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self._directory = directory / "apache"
        self._site = site
        self._environment = {**os.environ, **(environment or {})}
        self._reserved = ExitStack()

    def log(self) -> str:
        """What Apache and the application have logged."""
        log = self._directory / "error.log"
        return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""

    def __enter__(self) -> Self:
        self._port = self._reserved.enter_context(reserved_port())
        self.url = f"http://127.0.0.1:{self._port}"
        (self._directory / "run").mkdir(parents=True)
        config = self._directory / "httpd.conf"
        config.write_text(self._configuration(), encoding="utf-8")
        account = _account()
        if account is not None:
            for path in [self._directory.parent, *self._directory.parent.rglob("*")]:
                shutil.chown(path, *account)
        program = _program()
        assert program is not None
        with (self._directory / "output").open("wb") as output:
            self._process = subprocess.Popen(
                [program, "-d", self._directory, "-f", config, "-DFOREGROUND"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                # A process group, so that all remaining processes can be killed together.
                start_new_session=True,
            )
        try:
            self._wait()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def _configuration(self) -> str:
        account = _account()
        return f"""
            ServerRoot {self._directory}
            ServerName 127.0.0.1
            Listen 127.0.0.1:{self._port}
            PidFile run/httpd.pid
            DefaultRuntimeDir run
            Mutex file:run default
            ErrorLog error.log
            LogLevel warn wsgi:info
            {_load("unixd", "mpm_event", "authz_core", "filter", "deflate", "alias", "headers")}
            {_load("wsgi")}
            WSGISocketPrefix run/wsgi
            {f"User {account[0]}" if account else ""}
            {f"Group {account[1]}" if account else ""}
            {self._site}
        """

    def _wait(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                _status(self.url)
            except ConnectionError:
                time.sleep(0.05)
            else:
                return
        said = (self._directory / "output").read_text(encoding="utf-8", errors="replace")
        raise RuntimeError(f"Apache does not answer:\n{said}{self.log()}")

    def _stop(self) -> None:
        self._reserved.close()
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            if sys.platform != "win32":
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(_PATIENCE)


def _program() -> str | None:
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    return shutil.which("apache2", path=path) or shutil.which("httpd", path=path)


def _modules() -> Path | None:
    places = map(Path, _MODULES)
    return next((place for place in places if (place / "mod_wsgi.so").exists()), None)


def _load(*names: str) -> str:
    # The modules compiled in differ between systems.
    return "\n".join(
        f"<IfModule !{name}_module>\n"
        f"LoadModule {name}_module {_modules()}/mod_{name}.so\n"
        "</IfModule>"
        for name in names
    )


@cache
def _account() -> tuple[str, str] | None:
    """User and group for a server started by root, because Apache refuses to run as root."""
    if sys.platform != "win32" and os.getuid() == 0:
        import grp
        import pwd

        known = {entry.pw_name: entry.pw_gid for entry in pwd.getpwall()}
        user = next(name for name in _USERS if name in known)
        return user, grp.getgrgid(known[user]).gr_name
    return None


def _site(script: Path) -> str:
    return f"""
        WSGIApplicationGroup %{{GLOBAL}}
        WSGIScriptAlias / {script}
        <Directory {script.parent}>
            Require all granted
        </Directory>
    """


def _status(url: str) -> int:
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=_PATIENCE)
    try:
        connection.request("GET", (parts.path or "/") + (parts.query and f"?{parts.query}"))
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()
