"""The rendered text of an entry, made when it is saved and not for each page."""

from typing import Self

from markupsafe import Markup, escape
from sqlalchemy import ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from blog.markup import Format, plain, render, render_summary, renderer, shorten
from blog.models.base import Base

#: The length of a page's description, for previews of links, in characters.
DESCRIPTION = 200


class Rendering(Base):
    """The text of an entry as HTML and as plain text.

    A trigger deletes the row when the text changes without being rendered, as in an SQL shell.
    ``renderer`` is the version of :mod:`blog.markup` that made it. If there is no row of the
    current version, a page renders the text with :meth:`of`, without storing it.

    :param teaser: safe HTML without blocks: the author's summary, or how the text begins.
    :param description: the same as plain text, not longer than :data:`DESCRIPTION`.
    :param text: the words of the body, as plain text.
    :param html: the body, safe.
    """

    __tablename__ = "rendering"

    entry_id: Mapped[int] = mapped_column(
        ForeignKey("entry.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    renderer: Mapped[int]
    minutes: Mapped[int]
    teaser: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    html: Mapped[str] = mapped_column(Text)

    @classmethod
    def of(
        cls,
        entry_id: int,
        body: str,
        format: Format,
        summary: str | None,
        language: str = "en",
    ) -> Self:
        """Render the text of an entry, with the quotes of the blog's language."""
        rendered = render(body, format, language)
        teaser = render_summary(summary, language) if summary else escape(rendered.excerpt)
        words = plain(teaser) if summary else rendered.excerpt
        return cls(
            entry_id=entry_id,
            renderer=renderer(language),
            minutes=rendered.minutes,
            teaser=str(teaser),
            description=shorten(words, DESCRIPTION),
            text=rendered.text,
            html=str(rendered.html),
        )

    @property
    def safe_html(self) -> Markup:
        return Markup(self.html)  # noqa: S704 - it came out of the cleaner
