"""Lists in pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import Session
from werkzeug.exceptions import NotFound

T = TypeVar("T")

#: No list has a page beyond this one, and no database can skip more rows than it can count.
LAST_PAGE = 1_000_000


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list. ``number`` counts from 1, the page with the newest."""

    items: Sequence[T]
    number: int
    has_next: bool


def paginate(db: Session, statement: Select[T], number: str | None, size: int) -> Page[T]:
    """Return a page of what `statement` selects.

    One row more than the page holds is fetched, to learn whether there is a next page: counting
    them all would cost more than the page.

    :param number: what the address asks for, unchecked; None for the first page.
    :raises NotFound: there is no such page. The first one is always there, even if empty.
    """
    page = _parse(number)
    rows: Sequence[Any] = db.scalars(statement.limit(size + 1).offset((page - 1) * size)).all()
    if not rows and page > 1:
        raise NotFound(f"There is no page {page}.")
    return Page(rows[:size], page, len(rows) > size)


def _parse(number: str | None) -> int:
    if number is None:
        return 1
    if not (number.isascii() and number.isdigit() and 1 <= int(number[:9]) <= LAST_PAGE):
        raise NotFound(f"There is no page {number[:20]!r}.")
    return int(number[:9])
