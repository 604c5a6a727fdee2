"""When what readers see was changed last."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select

from blog.models import Entry, Site
from blog.request import Request

#: HTTP dates count whole seconds, so a page that changed in this very second may change again and
#: keep its date. Such a page is given none (https://www.rfc-editor.org/rfc/rfc9110#section-8.8.2.2).
SETTLED = timedelta(seconds=2)


def last_modified(request: Request, started: datetime) -> datetime | None:
    """Return the moment since which all pages are as they are, or None if that is too recent.

    :param started: when this process began: templates, settings or code may be new since then.
    """
    newest = select(func.max(Entry.timestamp)).where(Entry.is_visible(request.now))
    changed, appeared = request.db.execute(select(Site.changed, newest.scalar_subquery())).one()
    moment = max(changed, appeared or changed, started)
    return moment if moment < datetime.now(UTC) - SETTLED else None
