"""The commands ``threadleaf comments …``: what waits, and what becomes of it."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from blog.comments import moderation
from blog.comments.rate_limit import forget_networks
from blog.config import Config
from blog.database import connect, session_factory, writing
from blog.models import Comment, Entry
from blog.operations import migration
from blog.operations.logs import visible

#: The length to which the list shortens a comment, in characters.
SHOWN = 500


@click.group()
def comments() -> None:
    """Comments that wait for a decision, and those that have one."""


@comments.command("list")
@click.option(
    "--state",
    type=click.Choice(["held", "published", "spam"]),
    default="held",
    show_default=True,
    help="Which ones.",
)
@click.option("--entry", "slug", help="Only those below the entry with this slug.")
@click.pass_obj
def list_comments(settings: Path | None, state: str, slug: str | None) -> None:
    """Show comments, the oldest first: those that wait, unless told otherwise."""
    statement = select(Comment, Entry.slug).join(Entry).where(Comment.state == state)
    if slug is not None:
        statement = statement.where(Entry.slug == slug)
    with opened(Config.load(settings)) as db:
        rows = db.execute(statement.order_by(Comment.id)).all()
    for comment, below in rows:
        show(comment, below)
    click.echo(f"{len(rows)} comment{'s' if len(rows) != 1 else ''}: {state}.")


def deciding(name: str, act: Callable[[Session, Iterable[int]], None], done: str) -> None:
    """Add the command `name`, which does `act` with the comments that are named."""

    @comments.command(name, help=f"{(act.__doc__ or '').splitlines()[0]}")
    @click.argument("ids", metavar="ID...", type=int, nargs=-1, required=True)
    @click.pass_obj
    def command(settings: Path | None, ids: tuple[int, ...]) -> None:
        config = Config.load(settings)
        with opened(config) as db:
            with writing(db):
                forget_networks(db, config.comment_days, datetime.now(UTC))
            act(db, ids)
        click.echo(f"{', '.join(map(str, dict.fromkeys(ids)))}: {done}.")


deciding("approve", moderation.approve, "published")
deciding("spam", moderation.mark_spam, "taken away, and the filter has learnt from it")
deciding("delete", moderation.delete, "deleted for good")


@contextmanager
def opened(config: Config) -> Iterator[Session]:
    """Open the blog's database."""
    engine = connect(config.database)
    try:
        migration.check(engine)
        with migration.explaining(engine), session_factory(engine)() as db:
            yield db
    finally:
        engine.dispose()


def show(comment: Comment, slug: str) -> None:
    when = f"{comment.created:%Y-%m-%d %H:%M}" if comment.created else "no date"
    lines = [f"{comment.id}  {comment.author}, {when}, on /blog/{slug}"]
    if comment.website:
        lines.append(f"    {comment.website}")
    if comment.reason:
        lines.append(f"    {comment.state}: {comment.reason}")
    shown = comment.text if len(comment.text) <= SHOWN else f"{comment.text[:SHOWN]}…"
    lines += [f"    | {line}" for line in shown.splitlines()]
    for line in lines:
        click.echo(visible(line))
    click.echo()
