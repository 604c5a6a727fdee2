"""Files: the author's, from a folder, and the static files of the templates."""

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

#: The types that a browser displays; every other file is a download. The operating systems' own
#: tables differ.
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

#: A year in seconds: the name of a file changes with its content.
FOR_EVER = 31_536_000

#: An SVG may contain scripts; opened directly, it must not run them.
ALONE = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"


#: The only kind of range that is served: a single one, in bytes. The number of digits stays below
#: the limit of int().
_RANGE = re.compile(
    r"bytes=[ \t]*(?:([0-9]{1,4000})-([0-9]{0,4000})|-([0-9]{1,4000}))[ \t]*", re.IGNORECASE
)


def media(request: Request, name: str) -> Response:
    """Send a file, the requested range of it, or 304 if the client already has it."""
    path = find(Path(request.config.media), name)
    if path is None:
        raise NotFound("There is no file with this name.")
    info = path.stat()
    etag = f"{info.st_mtime_ns:x}-{info.st_size:x}"
    changed = datetime.fromtimestamp(int(info.st_mtime), UTC)
    # The file may change again within the same second.
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
    """Return the response with the file or the requested range of it."""
    wanted = asked_for(request, size, etag, modified)
    start, stop = wanted or (0, size)
    mimetype = TYPES.get(path.suffix.lower(), "application/octet-stream")
    response = send_file(
        # The server's file wrapper closes it.
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
    """Return the requested range as (first byte, byte after the last); None for the whole file.

    Unknown units must be ignored, and multiple ranges may be
    (https://www.rfc-editor.org/rfc/rfc9110#section-14.2).

    :raises RequestedRangeNotSatisfiable: it starts at or after the end of the file.
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
    """A part of a file, for servers that read to the end.

    :param file: open for reading in binary mode.
    :param start: the offset of its first byte.
    :param stop: the offset after its last byte.
    """

    def __init__(self, file: BinaryIO, start: int, stop: int) -> None:
        self._file = file
        self._stop = stop
        file.seek(start)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, size: int = -1) -> bytes:
        """Return the next `size` bytes, or all up to `stop`.

        :raises OSError: the file has been truncated. The Content-Length has already been sent, so
            only closing the connection tells the client.
        """
        left = self._stop - self._file.tell()
        size = left if size < 0 else min(size, left)
        data = self._file.read(size)
        if len(data) < size:
            raise OSError(f"{self._file.name} was truncated below {self._stop} bytes while sent")
        return data


def find(folder: Path, name: str) -> Path | None:
    """Return the path of a public file in `folder`, or None.

    :param name: its path relative to `folder`, with slashes. Hidden files are not found, nor are
        targets of symbolic links outside the folder, nor names that are special on Windows (a
        drive, a stream, a backslash).
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
    # On Windows most files have a short name, too, without the leading dot: HTPASS~1.TXT.
    is_hidden = sys.platform == "win32" and any(part.startswith(".") for part in inside.parts)
    return None if is_hidden else path


def static(_request: Request, name: str) -> Response:
    """A static file; its name contains a hash of its content."""
    path = immutable_names().get(name)
    if path is None:
        raise NotFound("There is no file with this name.")
    response = Response(path.read_bytes(), mimetype=guess_type(name)[0])
    response.cache_control.public = True
    response.cache_control.max_age = FOR_EVER
    response.cache_control.immutable = True
    return response
