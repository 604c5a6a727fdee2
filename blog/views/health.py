"""The health check."""

from werkzeug import Response

from blog.models import Site
from blog.request import Request


def healthz(request: Request) -> Response:
    """Return 200 if the database can be read; its error becomes a 503."""
    Site.row(request.db)
    return Response("ok\n", mimetype="text/plain", headers={"Cache-Control": "no-store"})
