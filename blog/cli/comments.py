"""The commands ``threadleaf comments …``: list, approve, mark as spam, delete."""

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
from blog.operations.logs import counted, visible

#: Longer comments are cut in the list, in characters.
SHOWN = 500


@click.group()
def comments() -> None:
    """Review comments."""


@comments.command("list")
@click.option(
    "--state",
    type=click.Choice(["held", "published", "spam"]),
    default="held",
    show_default=True,
    help="The state to list.",
)
@click.option("--entry", "slug", help="List only comments on the entry with this slug.")
@click.pass_obj
def list_comments(settings: Path | None, state: str, slug: str | None) -> None:
    """List comments, oldest first."""
    statement = select(Comment, Entry.slug).join(Entry).where(Comment.state == state)
    if slug is not None:
        statement = statement.where(Entry.slug == slug)
    with opened(Config.load(settings)) as db:
        rows = db.execute(statement.order_by(Comment.id)).all()
    for comment, below in rows:
        show(comment, below)
    noun = f"{state} comment"
    click.echo(f"{counted(len(rows), noun) if rows else f'No {noun}s'}.")


def deciding(
    name: str, act: Callable[[Session, Iterable[int]], None], told: str, done: str
) -> None:
    """Add the command `name`, which applies `act` to the given comments.

    :param told: its help.
    :param done: its message.
    """

    @comments.command(name, help=told)
    @click.argument("ids", metavar="ID...", type=int, nargs=-1, required=True)
    @click.pass_obj
    def command(settings: Path | None, ids: tuple[int, ...]) -> None:
        config = Config.load(settings)
        with opened(config) as db:
            with writing(db):
                forget_networks(db, config.comment_days, datetime.now(UTC))
            act(db, ids)
        click.echo(f"{', '.join(map(str, dict.fromkeys(ids)))}: {done}.")


deciding(
    "approve",
    moderation.approve,
    "Publish comments and train the filter.",
    "published; the filter has been trained",
)
deciding(
    "spam",
    moderation.mark_spam,
    "Mark comments as spam and train the filter.",
    "marked as spam; the filter has been trained",
)
deciding(
    "delete",
    moderation.delete,
    "Delete comments permanently. Replies to a deleted comment move up one level.",
    "deleted",
)


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
