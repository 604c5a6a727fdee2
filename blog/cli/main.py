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
from blog.operations.logs import counted, log_to_stderr, say, visible
from blog.operations.migration import DatabaseUnusableError
from blog.server import ServerError, listen, serve
from blog.server.limits import Limits

if TYPE_CHECKING:
    from blog.importing.run import Summary

#: Errors that the user can fix. Each message is one sentence.
MISTAKES = (ConfigError, DatabaseUnusableError, ServerError, SourceError, UnknownCommentError)

#: At most this many names are listed per note.
NAMES_SHOWN = 10


@click.group()
@click.option(
    "--config",
    "settings",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The settings file. Default: $THREADLEAF_CONFIG, or else ./threadleaf.toml.",
)
@click.version_option(package_name="threadleaf", prog_name="threadleaf")
@click.pass_context
def threadleaf(context: click.Context, settings: Path | None) -> None:
    """A small self-hosted blog."""
    context.obj = settings


@threadleaf.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
def init(folder: Path) -> None:
    """Create a blog in FOLDER.

    Writes a settings file to edit, and a database. Existing ones are left unchanged or upgraded.
    """
    # The database holds the secret that signs forms, so only this user may enter the folder.
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings = folder / SETTINGS_FILE
    if settings.exists():
        click.echo(f"{visible(str(settings))} already exists; left unchanged.")
    else:
        write_settings(settings)
        click.echo(f"Created {visible(str(settings))}. Set title, author and site_url in it.")
    bring_up_to_date(Config.load(settings))


def write_settings(path: Path) -> None:
    """Write a settings file that only this user can read: it may come to hold a password.

    :raises OSError: it cannot be written; no partial file is left.
    """
    path.touch(mode=0o600, exist_ok=False)
    try:
        path.write_text(as_toml(), encoding="utf-8")
    except OSError as error:  # a full disk does not name the file
        path.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from error


@threadleaf.command()
@click.pass_obj
def upgrade(settings: Path | None) -> None:
    """Create or upgrade the database."""
    bring_up_to_date(Config.load(settings))


@threadleaf.command("serve")
@click.option("--host", help="The address to listen on.")
@click.option("--port", type=int, help="The port to listen on; 0 picks a free one.")
@click.pass_obj
def serve_command(settings: Path | None, host: str | None, port: int | None) -> None:
    """Serve the blog until Ctrl-C.

    Creates the database if it is missing.
    """
    config = Config.load(settings, host=host, port=port)
    if migration.is_missing(connect(config.database)):
        bring_up_to_date(config)
    run(config)


@threadleaf.command("import")
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--dry-run", is_flag=True, help="Show what would be imported, without changing anything."
)
@click.pass_obj
def import_command(settings: Path | None, path: Path, dry_run: bool) -> None:
    """Import Markdown files or a WordPress export.

    PATH is a Markdown file, a WordPress export (WXR), or a folder of these. Safe to repeat: an
    item that is already imported is updated if its source has changed, and skipped if you have
    edited it here.
    """
    # Imported here: a server has no use for the readers of foreign formats, and would start later.
    from blog.importing.run import import_path

    config = Config.load(settings)
    engine = connect(config.database, language=config.language)
    if migration.is_missing(engine):
        bring_up_to_date(config)
    migration.check(engine)
    importing = import_path(path, session_factory(engine), dry_run=dry_run)
    # It stops between two items, so that the summary is exact.
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
        click.echo("Dry run: nothing was changed.")
    if interrupted.is_set():
        click.echo("Stopped. Imported items are saved; run the same command to continue.")
        sys.exit(130)


@threadleaf.command("restore")
@click.argument("backup", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.pass_obj
def restore_command(settings: Path | None, backup: Path) -> None:
    """Replace the database with BACKUP. Servers can keep running."""
    from blog.operations.restore import restore

    config = Config.load(settings)
    done = restore(config.database, backup)
    database, source = visible(str(done.database)), visible(str(backup))
    click.echo(f"Restored {database} from {source}: {counted(done.entries, 'entry', 'entries')}.")
    if done.previous is not None:
        click.echo(f"The previous database is saved as {visible(str(done.previous))}.")
    if done.schema != migration.HEAD:
        click.echo(f"Upgraded it from schema {done.schema} to {migration.HEAD}.")
        # Its entries are still to be rendered and indexed.
        bring_up_to_date(config)


@threadleaf.command("demo")
@click.option("--host", help="The address to listen on.")
@click.option("--port", type=int, help="The port to listen on; 0 picks a free one.")
def demo_command(host: str | None, port: int | None) -> None:
    """Serve a temporary blog with sample entries."""
    from blog import demo
    from blog.importing.run import import_path

    # Windows cannot remove an open file, and a second Ctrl-C ends the server with some still open.
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
    """Print what an import has done, and why items were skipped."""
    skipped = sum(len(names) for names in summary.skipped.values())
    found = summary.imported + summary.updated + summary.unchanged + skipped
    click.echo(
        f"{counted(found, 'item')} found: {summary.imported} imported, {summary.updated} updated, "
        f"{summary.unchanged} unchanged, {skipped} skipped. "
        f"{counted(summary.comments, 'new comment')}."
    )
    for reason, names in summary.skipped.items():
        click.echo(f"\nSkipped ({len(names)}): {visible(reason)}.")
        click.echo("\n".join(f"  {visible(name)}" for name in names))
    for note, names in summary.notes.items():
        click.echo(f"\nNote ({len(names)}): {visible(note)}")
        click.echo("\n".join(f"  {visible(name)}" for name in names[:NAMES_SHOWN]))
        if len(names) > NAMES_SHOWN:
            click.echo(f"  and {len(names) - NAMES_SHOWN} more")


def run(config: Config) -> None:
    """Serve until a signal stops it."""
    log_to_stderr("%(asctime)s %(levelname)s %(name)s: %(message)s")
    if config.needs_a_proxy() and not config.trusted_proxy:
        say(
            f"{config.host} accepts connections from this machine only, but site_url is "
            f"{config.site_url}. Set trusted_proxy to the address of the proxy in front "
            '(usually "127.0.0.1"), or all visitors share one limit on comments.',
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
                f"Serving {visible(config.title)} at {url}/blog (Ctrl-C to stop)."
            ),
        )


def main() -> None:
    """Run the command. An error that the user can fix is printed as one sentence, exit code 1."""
    # On Windows, redirected output has a code page that may lack letters of titles and file names.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        threadleaf()
    except MISTAKES as error:
        click.echo(f"threadleaf: {visible(str(error))}", err=True)
        sys.exit(1)
    except OSError as error:
        if error.errno is None:  # a subclass that is a bug of ours, such as TemplateNotFound
            raise
        name = visible(str(error.filename or "the output"))
        click.echo(f"threadleaf: {name} cannot be used: {error.strerror}.", err=True)
        sys.exit(1)
    except ModuleNotFoundError as error:
        if error.name != "psycopg":
            raise
        remedy = 'pip install "psycopg[binary]"'
        click.echo(f"threadleaf: PostgreSQL needs psycopg: run `{remedy}`.", err=True)
        sys.exit(1)
