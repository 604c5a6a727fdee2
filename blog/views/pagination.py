"""Pagination of lists."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from werkzeug.exceptions import NotFound

T = TypeVar("T")

#: The last page number that is accepted, so that no OFFSET exceeds the databases' integers.
LAST_PAGE = 1_000_000


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list. ``number`` counts from 1, the page with the newest items."""

    items: Sequence[T]
    number: int
    has_next: bool


def paginate(fetch: Callable[[int, int], Sequence[T]], number: str | None, size: int) -> Page[T]:
    """Return a page of a list.

    It fetches one item more than the page shows, to know whether there is a next page: counting
    all items would cost more than the page.

    :param fetch: called with limit and offset, returns the items.
    :param number: the page number from the address, not validated; None for the first page.
    :param size: the number of items per page.
    :raises NotFound: there is no such page. The first one always exists, even if empty.
    """
    page = _parse(number)
    items = fetch(size + 1, (page - 1) * size)
    if not items and page > 1:
        raise NotFound(f"There is no page {page}.")
    return Page(items[:size], page, len(items) > size)


def _parse(number: str | None) -> int:
    if number is None:
        return 1
    # No leading zeros: each page has one address.
    if re.fullmatch("[1-9][0-9]{0,6}", number) is None or int(number) > LAST_PAGE:
        raise NotFound(f"There is no page {number[:20]!r}.")
    return int(number)
