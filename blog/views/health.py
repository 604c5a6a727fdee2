"""What monitors ask for."""

from werkzeug import Response

from blog.models import Site
from blog.request import Request


def healthz(request: Request) -> Response:
    """Answer 200 if the database answers; what it raises otherwise becomes 503."""
    Site.row(request.db)
    return Response("ok\n", mimetype="text/plain", headers={"Cache-Control": "no-store"})
