"""Pictures and other files that the author keeps in a folder."""

from pathlib import Path, PurePosixPath

from werkzeug import Response
from werkzeug.exceptions import NotFound
from werkzeug.security import safe_join
from werkzeug.utils import send_file

from blog.request import Request

#: What is shown in the page or by the browser; everything else is only offered for saving. The
#: tables of the operating system differ.
TYPES = {
    ".avif": "image/avif",
    ".gif": "image/gif",
    ".ico": "image/x-icon",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
    ".flac": "audio/flac",
    ".m4a": "audio/mp4",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".wav": "audio/wav",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".vtt": "text/vtt",
    ".pdf": "application/pdf",
    ".txt": "text/plain",
}

#: A drawing may hold scripts; opened by itself, it is shown without them.
ALONE = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def file(request: Request, name: str) -> Response:
    """A file, or the part of it that is asked for (Range), or 304 if the reader has it."""
    path = find(Path(request.config.media), name)
    if path is None:
        raise NotFound("There is no file of this name.")
    mimetype = TYPES.get(path.suffix.lower(), "application/octet-stream")
    environ = request.environ.copy()
    if not asks_for_a_part(request):
        environ.pop("HTTP_RANGE", None)
    response = send_file(
        path,
        environ,
        mimetype=mimetype,
        as_attachment=path.suffix.lower() not in TYPES,
        conditional=True,
    )
    response.headers["Cache-Control"] = "no-cache"
    if mimetype == "image/svg+xml":
        response.headers["Content-Security-Policy"] = ALONE
    return response


def asks_for_a_part(request: Request) -> bool:
    """Tell whether one part of a file is asked for, in a way that has to be understood.

    Other units are to be ignored, as is a range with HEAD, and several parts may be
    (https://www.rfc-editor.org/rfc/rfc9110#section-14.2): who asks for those gets the whole file.
    """
    asked = request.range
    return (
        request.method == "GET"
        and asked is not None
        and asked.units == "bytes"
        and len(asked.ranges) == 1
    )


def find(folder: Path, name: str) -> Path | None:
    """Return the file that `name` means, if it lies in `folder` and is there to be seen.

    :param name: with slashes, as in an address. Hidden files are not found, nor what a link leads
        to outside of the folder, nor what Windows would take for something else than a name.
    """
    parts = PurePosixPath(name).parts
    if any(part.startswith(".") or set(part) & set(":\\") for part in parts):
        return None
    joined = safe_join(str(folder), *parts)
    if joined is None:
        return None
    try:
        path = Path(joined).resolve()
        is_inside = path.is_relative_to(folder.resolve())
        return path if is_inside and path.is_file() else None
    except (OSError, ValueError):  # a name that is too long, or has a NUL in it
        return None
