"""The search page and its OpenSearch description."""

import re
from collections import Counter
from xml.sax.saxutils import escape, quoteattr

from werkzeug import Response

from blog.http.static_files import immutable_name
from blog.models import Tag
from blog.request import Request
from blog.search.matches import (
    CANDIDATES,
    Found,
    details,
    index_others,
    matches,
    proposal,
    subjects,
)
from blog.search.query import Query, Scope
from blog.templating import render
from blog.views.pagination import paginate

#: The longest names of a search engine that browsers accept, in characters
#: (https://github.com/dewitt/opensearch/blob/master/opensearch-1-1-draft-6.md).
SHORT_NAME = 16
LONG_NAME = 48


def results(request: Request) -> Response:
    """The search results; without a query, only the form.

    An unknown tag or an invalid year has no results, and is not an error.
    """
    given, tag, year = (request.args.get(name, "") for name in ("q", "tag", "year"))
    query = Query.parse(given)
    is_complete = not query.words or index_others(request.db)
    subject = Tag.shown(request.db, tag, request.now) if tag else None
    scope = Scope(
        tag=(subject.id if subject else 0) if tag else None,
        year=(int(year) if re.fullmatch("[0-9]{4}", year) else 0) if year else None,
        comments=request.config.search_comments,
    )
    found = matches(request.db, query, scope, request.now)
    ids = [match.id for match in found]

    def fetch(limit: int, offset: int) -> list[Found]:
        return details(request.db, query, ids[offset : offset + limit])

    response = render(
        request,
        "search/results.html",
        given=given,
        query=query,
        tag=tag,
        tag_name=subject.name if subject else tag,
        year=year,
        proposal=None if ids else proposal(request.db, query, scope, request.now),
        number=len(ids),
        most=CANDIDATES,
        page=paginate(fetch, request.args.get("page"), request.config.per_page),
        tags=subjects(request.db, ids),
        years=sorted(Counter(match.moment.year for match in found).items(), reverse=True),
    )
    if not is_complete:
        response.cache_control.no_store = True
    return response


def description(request: Request) -> Response:
    """The OpenSearch description, with which a browser offers the search in its address bar."""
    title = request.config.title
    address = request.absolute_url_for("search.results") + "?q={searchTerms}"
    icon = request.absolute_url_for("files.static", name=immutable_name("icon.svg"))
    body = f"""<?xml version="1.0" encoding="UTF-8"?>
<OpenSearchDescription xmlns="http://a9.com/-/spec/opensearch/1.1/">
<ShortName>{escape(title[:SHORT_NAME].strip())}</ShortName>
<LongName>{escape(title[:LONG_NAME].strip())}</LongName>
<Description>{escape(f"Search {title}"[:1024])}</Description>
<Url type="text/html" template={quoteattr(address)}/>
<Image type="image/svg+xml">{escape(icon)}</Image>
<InputEncoding>UTF-8</InputEncoding>
</OpenSearchDescription>
"""
    return Response(body, mimetype="application/opensearchdescription+xml")
