"""Lists in pages."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

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


def paginate(fetch: Callable[[int, int], Sequence[T]], number: str | None, size: int) -> Page[T]:
    """Return a page of a list.

    One item more than the page holds is fetched, to learn whether there is a next page: counting
    them all would cost more than the page.

    :param fetch: returns at most that many items (limit), without the first so many (offset).
    :param number: what the address asks for, unchecked; None for the first page.
    :raises NotFound: there is no such page. The first one is always there, even if empty.
    """
    page = _parse(number)
    items = fetch(size + 1, (page - 1) * size)
    if not items and page > 1:
        raise NotFound(f"There is no page {page}.")
    return Page(items[:size], page, len(items) > size)


def _parse(number: str | None) -> int:
    if number is None:
        return 1
    # One way to write each, so that a page has one address.
    if re.fullmatch("[1-9][0-9]{0,6}", number) is None or int(number) > LAST_PAGE:
        raise NotFound(f"There is no page {number[:20]!r}.")
    return int(number)
