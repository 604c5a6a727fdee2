"""Files: the author's, from a folder, and those of the templates."""

import re
import sys
from datetime import UTC, datetime
from mimetypes import guess_type
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from werkzeug import Response
from werkzeug.datastructures import ContentRange
from werkzeug.exceptions import NotFound, RequestedRangeNotSatisfiable
from werkzeug.http import http_date
from werkzeug.security import safe_join
from werkzeug.utils import send_file

from blog.http.cached_response import SETTLED, condition
from blog.http.static_files import immutable_names
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

#: A year in seconds: a file whose content changes gets another name.
FOR_EVER = 31_536_000

#: A drawing may hold scripts; opened by itself, it is shown without them.
ALONE = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"


#: A range of the only kind that is served: one, in bytes. The length keeps int() within its limit.
_RANGE = re.compile(
    r"bytes=[ \t]*(?:([0-9]{1,4000})-([0-9]{0,4000})|-([0-9]{1,4000}))[ \t]*", re.IGNORECASE
)


def media(request: Request, name: str) -> Response:
    """Send a file, or the range of it that is asked for, or 304 if the client has it."""
    path = find(Path(request.config.media), name)
    if path is None:
        raise NotFound("There is no file of this name.")
    info = path.stat()
    etag = f"{info.st_mtime_ns:x}-{info.st_size:x}"
    changed = datetime.fromtimestamp(int(info.st_mtime), UTC)
    # It may change again within the same second.
    modified = changed if request.now >= changed + SETTLED else None
    status = condition(request.conditions, etag, modified)
    if status is None:
        response = send(request, path, info.st_size, etag, modified)
    else:
        response = Response(status=status)
        response.set_etag(etag)
    response.headers["Cache-Control"] = "no-cache"
    return response


def send(request: Request, path: Path, size: int, etag: str, modified: datetime | None) -> Response:
    """Return the response with the file, or with a part of it."""
    wanted = asked_for(request, size, etag, modified)
    start, stop = wanted or (0, size)
    mimetype = TYPES.get(path.suffix.lower(), "application/octet-stream")
    response = send_file(
        # The server closes it, by its file wrapper.
        Part(path.open("rb"), start, stop),
        request.file_wrapper,
        mimetype=mimetype,
        as_attachment=path.suffix.lower() not in TYPES,
        download_name=path.name,
        conditional=False,
        etag=etag,
        last_modified=modified,
    )
    response.content_length = stop - start
    response.accept_ranges = "bytes"
    if wanted is not None:
        response.status_code = 206
        response.content_range = ContentRange("bytes", start, stop, size)
    if mimetype == "image/svg+xml":
        response.headers["Content-Security-Policy"] = ALONE
    return response


def asked_for(
    request: Request, size: int, etag: str, modified: datetime | None
) -> tuple[int, int] | None:
    """Return the range that is asked for, from its first byte to before its end; None for all.

    Other units are to be ignored, and several ranges may be
    (https://www.rfc-editor.org/rfc/rfc9110#section-14.2).

    :raises RequestedRangeNotSatisfiable: it begins at or after the end.
    """
    conditions = request.conditions
    found = _RANGE.fullmatch(conditions.get("HTTP_RANGE", ""))
    if found is None or size == 0:
        return None
    # A weak ETag never matches, nor does a date that is not exactly ours
    # (https://www.rfc-editor.org/rfc/rfc9110#section-13.1.5).
    same = conditions.get("HTTP_IF_RANGE")
    if same is not None and same not in {f'"{etag}"', modified and http_date(modified)}:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        start, stop = max(0, size - int(suffix)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None  # not a valid range
    if start >= size:
        raise RequestedRangeNotSatisfiable(size)
    return start, stop


class Part:
    """A file that ends at `stop`, for servers that read to the end.

    :param file: open for reading in binary mode.
    :param start: where to begin, in bytes.
    :param stop: where to end.
    """

    def __init__(self, file: BinaryIO, start: int, stop: int) -> None:
        self._file = file
        self._stop = stop
        file.seek(start)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, size: int = -1) -> bytes:
        """Return the next `size` bytes, or all up to `stop`.

        :raises OSError: the file is shorter by now. The Content-Length is sent already, so the
            connection has to be closed for the client to notice.
        """
        left = self._stop - self._file.tell()
        size = left if size < 0 else min(size, left)
        data = self._file.read(size)
        if len(data) < size:
            raise OSError(f"{self._file.name} became shorter than {self._stop} bytes while sent")
        return data


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
        inside = path.relative_to(folder.resolve())
        if not path.is_file():
            return None
    except (OSError, ValueError):  # outside, too long, or with a NUL in it
        return None
    # Windows has a second name for most files, without the full stop: HTPASS~1.TXT.
    is_hidden = sys.platform == "win32" and any(part.startswith(".") for part in inside.parts)
    return None if is_hidden else path


def static(_request: Request, name: str) -> Response:
    """A static file, whose name has a hash of its content."""
    path = immutable_names().get(name)
    if path is None:
        raise NotFound("There is no file of this name.")
    response = Response(path.read_bytes(), mimetype=guess_type(name)[0])
    response.cache_control.public = True
    response.cache_control.max_age = FOR_EVER
    response.cache_control.immutable = True
    return response
