"""The command ``threadleaf``."""

import sys
from dataclasses import replace
from io import TextIOWrapper
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from blog.application import create_app
from blog.cli.comments import comments
from blog.cli.upgrade import bring_up_to_date, interruptible
from blog.comments.moderation import UnknownCommentError
from blog.config import SETTINGS_FILE, Config, ConfigError
from blog.config.reference import as_toml
from blog.database import connect, session_factory
from blog.importing.errors import SourceError
from blog.operations import migration
from blog.operations.logs import log_to_stderr, say, visible
from blog.operations.migration import DatabaseUnusableError
from blog.server import ServerError, listen, serve
from blog.server.limits import Limits

if TYPE_CHECKING:
    from blog.importing.run import Summary

#: What a person can mend, told in one sentence.
MISTAKES = (ConfigError, DatabaseUnusableError, ServerError, SourceError, UnknownCommentError)

#: The most names that are listed under a note.
NAMES_SHOWN = 10


@click.group()
@click.option(
    "--config",
    "settings",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The settings file (else the one that THREADLEAF_CONFIG names, else ./threadleaf.toml).",
)
@click.version_option(package_name="threadleaf", prog_name="threadleaf")
@click.pass_context
def threadleaf(context: click.Context, settings: Path | None) -> None:
    """A small self-hosted blog."""
    context.obj = settings


@threadleaf.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
def init(folder: Path) -> None:
    """Make a new blog in FOLDER: a settings file to edit, and a database."""
    # The database has the secret that signs forms: the folder is for this user alone.
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings = folder / SETTINGS_FILE
    if settings.exists():
        click.echo(f"{visible(str(settings))} is there already, and stays as it is.")
    else:
        write_settings(settings)
        click.echo(f"{visible(str(settings))} is made: set title, author and site_url in it.")
    bring_up_to_date(Config.load(settings))


def write_settings(path: Path) -> None:
    """Make a settings file for this user alone. It may get the password of a database.

    :raises OSError: it cannot be written; then nothing of it is left.
    """
    path.touch(mode=0o600, exist_ok=False)
    try:
        path.write_text(as_toml(), encoding="utf-8")
    except OSError as error:  # a full disk does not say which file
        path.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from error


@threadleaf.command()
@click.pass_obj
def upgrade(settings: Path | None) -> None:
    """Bring the database to the schema of this version; make it if there is none."""
    bring_up_to_date(Config.load(settings))


@threadleaf.command("serve")
@click.option("--host", help="The address to listen on.")
@click.option("--port", type=int, help="The port to listen on; 0 lets the system choose.")
@click.pass_obj
def serve_command(settings: Path | None, host: str | None, port: int | None) -> None:
    """Serve the blog with waitress until Ctrl-C; make the database if there is none."""
    config = Config.load(settings, host=host, port=port)
    if migration.is_missing(connect(config.database)):
        bring_up_to_date(config)
    run(config)


@threadleaf.command("import")
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.pass_obj
def import_command(settings: Path | None, path: Path, dry_run: bool) -> None:
    """Take in what is at PATH: a folder of Markdown files, or a WordPress export (WXR).

    It can be run again: what has been taken in before is left alone.
    """
    # Here, because a server has no use for what reads foreign formats, and would wait for it.
    from blog.importing.run import import_path

    config = Config.load(settings)
    engine = connect(config.database, language=config.language)
    if migration.is_missing(engine):
        bring_up_to_date(config)
    migration.check(engine)
    importing = import_path(path, session_factory(engine), dry_run=dry_run)
    # Between two items it can stop without a miscount.
    with interruptible() as interrupted:
        try:
            with (
                migration.explaining(engine),
                click.progressbar(importing, length=len(importing), label="Importing") as outcomes,
            ):
                for _ in takewhile(lambda _: not interrupted.is_set(), outcomes):
                    pass
        finally:
            tell(importing.summary)
    if dry_run:
        click.echo("This was a dry run: nothing has been changed.")
    if interrupted.is_set():
        click.echo("Stopped. What is imported stays; the same command goes on from here.")
        sys.exit(130)


@threadleaf.command("restore")
@click.argument("backup", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.pass_obj
def restore_command(settings: Path | None, backup: Path) -> None:
    """Put BACKUP, a copy of the database, in its place. The blog can be served meanwhile."""
    from blog.operations.restore import restore

    config = Config.load(settings)
    done = restore(config.database, backup)
    database, source = visible(str(done.database)), visible(str(backup))
    click.echo(f"Restored {database} from {source}: {done.entries} entries.")
    if done.previous is not None:
        click.echo(f"What was there before is in {visible(str(done.previous))}.")
    if done.schema != migration.HEAD:
        click.echo(f"Upgraded it from schema {done.schema} to {migration.HEAD}.")
        # Its entries are still to be rendered and indexed.
        bring_up_to_date(config)


@threadleaf.command("demo")
@click.option("--host", help="The address to listen on.")
@click.option("--port", type=int, help="The port to listen on; 0 lets the system choose.")
def demo_command(host: str | None, port: int | None) -> None:
    """Serve a throw-away blog with sample entries, to look around."""
    from blog import demo
    from blog.importing.run import import_path

    # Windows removes no file that is open, and a second Ctrl-C ends the server before all are shut.
    with TemporaryDirectory(prefix="threadleaf-", ignore_cleanup_errors=True) as folder:
        database = str(Path(folder, "demo.db"))
        given = Config.load(environ={}, host=host, port=port, database=database)
        config = replace(given, title="Fair Copy", tagline="Notes of a slow reader")
        engine = connect(config.database, language=config.language)
        migration.upgrade(engine)
        for _ in import_path(demo.HERE, session_factory(engine)):
            pass
        with session_factory(engine)() as db:
            demo.add_comments(db)
        engine.dispose()
        run(config)


threadleaf.add_command(comments)


def tell(summary: "Summary") -> None:
    """Say what an import has done, and of each item that was left out, why."""
    skipped = sum(len(names) for names in summary.skipped.values())
    found = summary.imported + summary.updated + summary.unchanged + skipped
    click.echo(
        f"{found} found: {summary.imported} imported, {summary.updated} changed, "
        f"{summary.unchanged} unchanged, {skipped} skipped; {summary.comments} new comments."
    )
    for reason, names in summary.skipped.items():
        click.echo(f"\nSkipped, because {visible(reason)} ({len(names)}):")
        click.echo("\n".join(f"  {visible(name)}" for name in names))
    for note, names in summary.notes.items():
        click.echo(f"\n{visible(note)} ({len(names)}):")
        click.echo("\n".join(f"  {visible(name)}" for name in names[:NAMES_SHOWN]))
        if len(names) > NAMES_SHOWN:
            click.echo(f"  and {len(names) - NAMES_SHOWN} more")


def run(config: Config) -> None:
    """Serve until a signal asks to stop."""
    log_to_stderr("%(asctime)s %(levelname)s %(name)s: %(message)s")
    if config.needs_a_proxy() and not config.trusted_proxy:
        say(
            f"Only this machine can connect to {config.host}, and readers find the blog at "
            f"{config.site_url}. Set trusted_proxy to the address of the proxy between them "
            '(usually "127.0.0.1"), or all visitors share the limits on comments.',
            err=True,
        )
    with listen(config.host, config.port) as listener:
        if config.port == 0:
            config = config.at_port(listener.getsockname()[1])
        serve(
            create_app(config),
            listener,
            Limits.of(config),
            threads=config.threads,
            url_prefix=config.mount,
            trusted_proxy=config.trusted_proxy or None,
            on_ready=lambda url: say(
                f"{visible(config.title)} is at {url}/blog (Ctrl-C stops it)."
            ),
        )


def main() -> None:
    """Run the command; a mistake that a person can mend becomes one sentence, and exit code 1."""
    # Windows has a code page for what is not printed on a screen; titles and file names know none.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        threadleaf()
    except MISTAKES as error:
        click.echo(f"threadleaf: {visible(str(error))}", err=True)
        sys.exit(1)
    except OSError as error:
        if error.errno is None:  # a subclass that is a mistake of ours, such as TemplateNotFound
            raise
        name = visible(str(error.filename or "what the command was writing to"))
        click.echo(f"threadleaf: {name} cannot be used: {error.strerror}.", err=True)
        sys.exit(1)
    except ModuleNotFoundError as error:
        if error.name != "psycopg":
            raise
        remedy = "pip install 'threadleaf[postgres]'"
        click.echo(f"threadleaf: PostgreSQL needs psycopg: run `{remedy}`.", err=True)
        sys.exit(1)
