"""Requests that nobody would think of, and what every answer to them has to be.

A request begins as an address of the URL map, or as a link or a form that some page had, and is
then bent: strange words in each field, headers that contradict each other, cookies with changes.
"""

import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import quote_from_bytes, urlsplit

from lxml import etree, html
from werkzeug.routing import Rule

from blog.urls import PARAMETERS, url_map
from tests.conftest import SITE_URL

#: Markup that no page may have as markup.
CANARY = '<fuzz onfuzz="1">\'"><script>fuzz()</script>'

#: Words for slugs, queries, fields, cookies and headers.
WORDS = [
    *(
        "",
        " ",
        "1",
        "0",
        "-1",
        "2",
        "999999999999999999999",
        "1e9",
        "2026",
        "0x10",
        "١",
        "²",
        "nan",
    ),
    *("counting-words", "garden", "about", "two-visitors-and-one-key", "style.css", "media"),
    *("picture.png", "drawing.svg", "notes.txt", "page.html", "folder/song.mp3"),
    *(CANARY, "{{7*7}}", "${7*7}", "%(x)s", "%s%n", "javascript:fuzz()", "data:text/html,fuzz"),
    *(
        "' OR 1=1 --",
        "'; DROP TABLE entry; --",
        "\\",
        '"',
        "x" * 300,
        "x" * 12_000,
        "&amp;",
        "&#0;",
    ),
    *('"open', "a AND", "NEAR(", "col:x", "a* -b", "()", "^x", "-", "*", '""', "OR", "a OR OR b"),
    *(
        "../../etc/passwd",
        "..\\..\\x",
        "con.txt",
        "a:b",
        ".hidden",
        "//evil.example",
        "/./",
        "a%2Fb",
    ),
    *(
        "\u202etxet",
        "e\u0301" * 50,
        "👩‍👩‍👧",
        "日本語",
        "İı",
        "ß",
        "\ufeff",
        "\u0000",
        "\r\nX: 1",
        "\x1b[1m",
    ),
    *("\ud800", "\uffff", "\t", "\v", "https://evil.example/", "http://[x", "http://a@b:99999/"),
    *("[link](javascript:x)", "```", "&" * 200, "<!--", "]]>", "?a=b#c", ";", "a;b=c", "=", "%zz"),
]

METHODS = ["GET"] * 12 + ["POST"] * 5 + ["HEAD"] * 2
METHODS += ["OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "BREW", "get"]

HEADERS: dict[str, list[str]] = {
    "If-None-Match": ["*", '"x"', 'W/"x"', '"x", "y"', "x", '"', ","],
    "If-Match": ["*", '"x"', ""],
    "If-Modified-Since": ["Mon, 23 Nov 2026 00:00:00 GMT", "Mon, 23 Nov 2099 00:00:00 GMT", "0"],
    "If-Unmodified-Since": ["Mon, 23 Nov 1999 00:00:00 GMT", "yesterday"],
    "If-Range": ['"x"', "Mon, 23 Nov 2026 00:00:00 GMT"],
    "Range": ["bytes=0-0", "bytes=-1", "bytes=5-2", "bytes=0-1,3-4", "bytes=999999999-", "lines=1"],
    "Accept-Encoding": ["gzip", "br", "zstd", "gzip;q=0", "*", "identity;q=0, *;q=0", "gzip;q=x"],
    "Accept": ["text/html", "*/*;q=0", "image/png"],
    "Accept-Language": ["de", "x" * 300],
    "Origin": [SITE_URL, "null", "https://evil.example", "http://[x"],
    "Sec-Fetch-Site": ["same-origin", "none", "cross-site", "same-site", "fuzz"],
    "Referer": ["https://evil.example/", "http://[x"],
    "Content-Type": ["text/plain", "multipart/form-data", "multipart/form-data; boundary=x", "x"],
    "Content-Length": ["0", "-1", "x", "999999999", "1"],
    "Content-Encoding": ["gzip"],
    "Host": ["localhost", "127.0.0.1", "[::1]", "evil.example", "blog.example:x", "BLOG.example."],
    "X-Forwarded-For": ["1.2.3.4", "x", "::1"],
    "X-Forwarded-Host": ["evil.example"],
    "X-Forwarded-Proto": ["https", "x"],
    "X-Forwarded-Prefix": ["/evil"],
    "User-Agent": ["", "x" * 300],
    "Expect": ["100-continue"],
}  # fmt: skip

_FIELD = re.compile(r"<(?:input|textarea|button|select)\b[^>]*>")


@dataclass
class Wanted:
    """A request."""

    method: str
    path: bytes
    query: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def __str__(self) -> str:
        target = quote_from_bytes(self.path) + ("?" + self.query.decode("latin-1")) * bool(
            self.query
        )
        return f"{self.method} {target[:300]} {str(self.headers)[:500]} {self.body[:300]!r}"


@dataclass
class Answer:
    """What came back. Header names are as they were sent."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def get(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def mimetype(self) -> str:
        return (self.get("Content-Type") or "").split(";")[0]


class Fuzzer:
    """Makes requests, and learns from the answers what there is to ask for.

    :param seed: the same seed makes the same requests of the same answers.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._rules = list(url_map.iter_rules())
        self._links: set[str] = set()
        #: Where a form leads, and the fields that it has.
        self._forms: dict[str, dict[str, str]] = {}
        self._cookies: dict[str, str] = {}
        #: By path, the ETag that its page last had.
        self._etags: dict[str, str] = {}

    def request(self) -> Wanted:
        chance = self._random.random()
        if self._forms and chance < 0.25:
            wanted = self._submit()
        elif self._links and chance < 0.5:
            address = urlsplit(self._pick(self._links))
            wanted = Wanted(self._pick(METHODS), address.path.encode(), address.query.encode())
        else:
            wanted = Wanted(self._pick(METHODS), self._address(self._pick(self._rules)))
        for bend in (self._bend_path, self._bend_query, self._bend_headers, self._bend_cookies):
            if self._random.random() < 0.3:
                bend(wanted)
        if wanted.method in {"POST", "PUT", "PATCH"} and not wanted.body:
            wanted.body = self._form(dict.fromkeys(("text", "name", "csrf_token", "x"), ""))
        if wanted.body:
            wanted.headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
            wanted.headers.setdefault("Content-Length", str(len(wanted.body)))
        return wanted

    def learn(self, wanted: Wanted, answer: Answer) -> None:
        for name, value in answer.headers:
            if name == "Set-Cookie":
                cookie, _, rest = value.partition("=")
                self._cookies[cookie] = rest.split(";")[0]
        if etag := answer.get("ETag"):
            self._etags[wanted.path.decode("latin-1")] = etag
        if location := answer.get("Location"):
            self._links.add(location.removeprefix(SITE_URL))
        if answer.mimetype == "text/html" and answer.body and len(self._links) < 3_000:
            page = html.document_fromstring(answer.body)
            links = {
                str(link).removeprefix(SITE_URL).split("#")[0] for link in page.xpath("//@href")
            }
            self._links |= {link for link in links if link.startswith("/")}
            for form in page.forms:
                fields = {
                    each.get("name"): each.get("value") or "" for each in form.xpath(".//*[@name]")
                }
                self._forms[urlsplit(form.action or wanted.path.decode("latin-1")).path] = fields

    def _pick(self, options: Any) -> Any:
        return self._random.choice(sorted(options) if isinstance(options, set) else list(options))

    def _word(self) -> str:
        word: str = self._pick(WORDS)
        return word + self._pick(WORDS) if self._random.random() < 0.1 else word

    def _address(self, rule: Rule) -> bytes:
        def value(found: re.Match[str]) -> str:
            kind = found[1] or ""
            if self._random.random() < 0.5:
                return self._word()
            if kind.startswith("any"):
                return str(self._pick(re.findall(r"\w+", kind)[1:]))
            return (
                "2026"
                if "4" in kind
                else "11"
                if kind
                else self._pick(["garden", "counting-words"])
            )

        path = re.sub(r"<(?:([^:>]*):)?\w+>", value, rule.rule)
        return path.encode("utf-8", "surrogatepass")

    def _submit(self) -> Wanted:
        action = self._pick(set(self._forms))
        fields = {
            name: self._word() if self._random.random() < 0.4 else value
            for name, value in self._forms[action].items()
            if self._random.random() < 0.95
        }
        if "text" in fields and not fields["text"]:
            fields["text"] = f"A remark of {self._random.randrange(10**9)}."
        body = self._form(fields)
        if self._random.random() < 0.2:
            return Wanted("GET", action.encode(), body)
        return Wanted("POST", action.encode(), body=body)

    def _form(self, fields: dict[str, str]) -> bytes:
        return b"&".join(self._quoted(name) + b"=" + self._quoted(fields[name]) for name in fields)

    def _quoted(self, text: str) -> bytes:
        raw = text.encode("utf-8", "surrogatepass")
        return raw if self._random.random() < 0.02 else quote_from_bytes(raw).encode()

    def _bend_path(self, wanted: Wanted) -> None:
        path = wanted.path
        at = self._random.randrange(len(path) + 1)
        some = self._pick(
            [b"/", b"//", b"%", b"\xff", b"\0", b".", b"/../", b" ", b"\xc3\xbc", b";x"]
        )
        bends: list[Callable[[], bytes]] = [
            lambda: path[:at] + some + path[at:],
            lambda: path + b"/",
            lambda: path.upper(),
            lambda: path.swapcase() + b"/",
            lambda: path[:at],
            lambda: b"/" + path,
            lambda: path * 40,
        ]
        wanted.path = b"/" + self._pick(bends)().removeprefix(b"/")

    def _bend_query(self, wanted: Wanted) -> None:
        names = [*PARAMETERS, *PARAMETERS, "utm_source", "p", "", "page[]", self._word()]
        parts = [
            self._quoted(self._pick(names))
            + self._pick([b"=", b"=", b"=", b""])
            + self._quoted(self._word())
            for _ in range(self._random.choice([1, 1, 1, 2, 3, 150]))
        ]
        wanted.query = self._pick([b"&", b"&", b";", b"&&"]).join(parts)

    def _bend_headers(self, wanted: Wanted) -> None:
        for name in self._random.sample(list(HEADERS), self._random.randint(1, 5)):
            etag = self._etags.get(wanted.path.decode("latin-1"), "*")
            value = self._pick([*HEADERS[name], *[etag] * 5 * (name == "If-None-Match")])
            if self._random.random() < 0.1:
                value = re.sub(r"[\0\r\n]", "", self._word())
            wanted.headers[name] = value

    def _bend_cookies(self, wanted: Wanted) -> None:
        cookies = {**self._cookies, "threadleaf-flash": "", "other": "1"}
        pairs = []
        for name in self._random.sample(list(cookies), self._random.randint(1, len(cookies))):
            value = cookies[name]
            if self._random.random() < 0.5:
                value = self._pick([value[:-1], value + "x", value.swapcase(), self._word()])
            pairs.append(f"{name}={value}")
        wanted.headers["Cookie"] = re.sub(
            r"[\0\r\n]", "", self._pick(["; ", "; ", ";"]).join(pairs)
        )


# What every answer has to be


def faults(wanted: Wanted, answer: Answer, always: dict[str, str]) -> Iterator[str]:
    """Say what is wrong with an answer.

    :param always: the headers that every answer has, as pages have them.
    """
    if not 200 <= answer.status < 500:
        yield f"the status is {answer.status}"
    names = [name.lower() for name, _ in answer.headers]
    for name in set(names) - {"set-cookie"}:
        if names.count(name) > 1:
            yield f"{name} is there twice"
    for name, value in answer.headers:
        if re.search(r"[^\x20-\x7e\x80-\xff\t]", name + value):
            yield f"{name} has a control character"
    for name, value in always.items():
        # A file may be guarded more strictly than a page.
        if answer.get(name) is None or (
            answer.mimetype == "text/html" and answer.get(name) != value
        ):
            yield f"{name} is {answer.get(name)!r}"
    yield from _faults_of_status(wanted, answer)
    yield from _faults_of_cookies(answer)
    if answer.body and not answer.get("Content-Encoding") and answer.status != 206:
        yield from _faults_of_body(answer)


def _faults_of_status(wanted: Wanted, answer: Answer) -> Iterator[str]:
    length = answer.get("Content-Length")
    if wanted.method == "HEAD" or answer.status in {204, 304}:
        if answer.body:
            yield "there is a body"
    elif int(length or 0) != len(answer.body):
        yield f"Content-Length is {length} for {len(answer.body)} bytes"
    if answer.status in {204, 304} and length:
        yield "what has no body has a length"
    if answer.status == 405 and not answer.get("Allow"):
        yield "405 without Allow"
    location = answer.get("Location")
    if (location is not None) != (answer.status in {301, 302, 303, 307, 308}):
        yield f"{answer.status} with Location {location!r}"
    if location and not re.match(rf"({re.escape(SITE_URL)})?/(?![/\\])", location):
        yield f"it leads to {location!r}"
    etag = answer.get("ETag")
    if etag is not None and not re.fullmatch(r'(W/)?"[\x21\x23-\x7e]+"', etag):
        yield f"ETag is {etag!r}"


def _faults_of_cookies(answer: Answer) -> Iterator[str]:
    for name, value in answer.headers:
        if name == "Set-Cookie":
            given = {part.strip().partition("=")[0].lower() for part in value.split(";")[1:]}
            needed = {"httponly", "samesite", "path", "secure"}
            if "Max-Age=0" in value:
                # A browser that is told to forget it believes nobody else.
                needed = {"path", "secure"} if value.startswith("__Host-") else {"path"}
            if not needed <= given or "domain" in given:
                yield f"the cookie {value!r} is not safe"


def _faults_of_body(answer: Answer) -> Iterator[str]:
    for word in (b"Traceback (most", b"sqlalchemy.exc", b"site-packages"):
        if word in answer.body:
            yield f"it shows {word!r}"
    try:
        if answer.mimetype == "text/html":
            yield from _faults_of_page(html.document_fromstring(answer.body.decode()))
        elif answer.mimetype.endswith("json"):
            json.loads(answer.body)
        elif answer.mimetype.endswith("xml"):
            etree.fromstring(answer.body)
    except (ValueError, etree.LxmlError) as error:
        yield f"it is no {answer.mimetype}: {error}"


def _faults_of_page(page: Any) -> Iterator[str]:
    if page.xpath("//fuzz | //script[not(@type='application/ld+json')] | //style | //@style"):
        yield "it has markup of the visitor, or a script or style of its own"
    for attribute in {str(name) for name in page.xpath("//@*[starts-with(name(), 'on')]")}:
        yield f"it has a handler: {attribute}"
    for link in page.xpath("//@href | //@src | //@action"):
        if re.match(r"\s*(javascript|data|vbscript):", unescape(link), re.IGNORECASE):
            yield f"it links to {link}"
    ids = [str(each) for each in page.xpath("//@id")]
    if len(ids) != len(set(ids)):
        yield f"ids are there twice: {sorted({each for each in ids if ids.count(each) > 1})}"
    if page.findtext(".//title") != "Redirecting...":
        for part in ("//title", "//h1", "//main"):
            if len(page.xpath(part)) != 1:
                yield f"it has {len(page.xpath(part))} of {part}"


# As bytes on a connection


class Wire:
    """Writes requests down as bytes, sometimes such that no browser would send.

    :param seed: the same seed makes the same bytes of the same requests.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def write(self, wanted: Wanted) -> tuple[bytes, bool]:
        """Return the bytes, and whether they are a request that a server has to answer."""
        target = quote_from_bytes(wanted.path, safe="/%:;=@&+$,!~*'()\x7f").encode()
        if wanted.query:
            target += b"?" + re.sub(rb"[\x00-\x20\x7f]", b"", wanted.query)
        lines = [b"%s %s HTTP/1.1" % (wanted.method.encode(), target)]
        headers = {"Host": "localhost", **wanted.headers, "Connection": "close"}
        for name, value in headers.items():
            raw = value.encode("utf-8", "surrogatepass")
            lines.append(name.encode() + b": " + re.sub(rb"[\x00-\x08\x0a-\x1f\x7f]", b"", raw))
        is_plain = self._random.random() < 0.8
        if not is_plain:
            self._random.choice(self._bends)(self, lines)
        end = b"\r\n" if is_plain else self._random.choice([b"\r\n", b"\r\n", b"\n"])
        # It would wait for the rest.
        is_plain &= wanted.headers.get("Content-Length", "0") == str(len(wanted.body))
        is_plain &= "Expect" not in wanted.headers
        return end.join(lines) + end + end + wanted.body, is_plain

    def _version(self, lines: list[bytes]) -> None:
        new = self._random.choice(
            [b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.1.1", b"", b"FTP/1"]
        )
        lines[0] = lines[0].replace(b"HTTP/1.1", new)

    def _request_line(self, lines: list[bytes]) -> None:
        bent = [
            b"",
            b" ",
            b"GET",
            b"GET  /blog",
            b"GET /blog",
            b"\0",
            b"\x16\x03\x01\x02",
            b"* / *",
        ]
        bent += [
            b"GET http://evil.example/blog HTTP/1.1",
            b"OPTIONS * HTTP/1.1",
            b"GET blog HTTP/1.1",
        ]
        bent += [b"GET //evil.example/blog HTTP/1.1", b"CONNECT evil.example:443 HTTP/1.1"]
        bent += [b"GET /" + b"x" * 70_000 + b" HTTP/1.1", b"GET /blog?\xff\xfe HTTP/1.1"]
        lines[0] = self._random.choice(bent)

    def _header(self, lines: list[bytes]) -> None:
        bent = [
            b"X",
            b": x",
            b" folded",
            b"X : 1",
            b"X\0: 1",
            b"X: \0",
            b"\xff: \xff",
            b"Host: evil",
        ]
        bent += [
            b"Content-Length: 5",
            b"Content-Length: +5",
            b"Content-Length: 5, 6",
            b"Cookie: " + b"x" * 16_000,
        ]
        bent += [
            b"Transfer-Encoding: chunked",
            b"Transfer-Encoding: gzip",
            b"Transfer-Encoding: x, chunked",
        ]
        bent += [
            b"X: " + b"x" * 100_000,
            b"Upgrade: h2c",
            b"Expect: 100-continue",
            b"X_Forwarded_For: 1",
        ]
        lines.insert(self._random.randint(1, len(lines)), self._random.choice(bent))

    def _many(self, lines: list[bytes]) -> None:
        lines += [b"X-%d: 1" % number for number in range(self._random.choice([100, 3_000]))]

    def _cut(self, lines: list[bytes]) -> None:
        del lines[self._random.randrange(len(lines)) :]

    _bends = (_version, _request_line, _header, _header, _many, _cut)
