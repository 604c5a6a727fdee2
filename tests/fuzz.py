"""Random, mostly invalid requests.

A request begins as an address of the URL map, or as a link or form of a page seen before, and is
then mutated: strange words in each field, contradicting headers, altered cookies.
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_from_bytes, urlsplit

from lxml import html
from werkzeug.routing import Rule

from blog.urls import PARAMETERS as READ
from blog.urls import url_map
from tests.conftest import SITE_URL

#: All query parameters that pages read.
PARAMETERS = sorted(frozenset().union(*READ.values()))

#: Markup that every page must escape.
CANARY = '<fuzz onfuzz="1">\'"><script>fuzz()</script>'

#: Words for slugs, queries, fields, cookies and headers.
WORDS = [
    # Numbers
    *("", " ", "1", "0", "-1", "2", "2026", "9" * 21, "1e9", "0x10", "١", "²", "nan"),
    # Existing names
    *("counting-words", "garden", "about", "two-visitors-and-one-key", "style.css", "media"),
    *("picture.png", "drawing.svg", "notes.txt", "page.html", "folder/song.mp3"),
    # Code
    *(CANARY, "{{7*7}}", "${7*7}", "%(x)s", "%s%n", "javascript:fuzz()", "data:text/html,fuzz"),
    *("' OR 1=1 --", "'; DROP TABLE entry; --", "\\", '"', "&" * 200, "&amp;", "&#0;"),
    *("[link](javascript:x)", "```", "<!--", "]]>", "?a=b#c", ";", "a;b=c", "=", "%zz"),
    # Queries
    *('"open', "a AND", "NEAR(", "col:x", "a* -b", "()", "^x", "-", "*", '""', "OR", "a OR OR b"),
    # Addresses and files
    *("../../etc/passwd", "..\\..\\x", "con.txt", "a:b", ".hidden", "//evil.example", "/./"),
    *("a%2Fb", "https://evil.example/", "http://[x", "http://a@b:99999/"),
    # Characters
    *("\u202etxet", "e\u0301" * 50, "👩\u200d👩\u200d👧", "日本語", "İı", "ß", "\ufeff", "\0"),
    *("\r\nX: 1", "\x1b[1m", "\ud800", "\uffff", "\t", "\v", "x" * 300, "x" * 12_000),
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


@dataclass
class Wanted:
    """A request.

    :param sender: the client's IP address.
    """

    method: str
    path: bytes
    query: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    sender: str = "192.0.2.1"

    def __str__(self) -> str:
        target = f"{quote_from_bytes(self.path)[:300]}?{self.query[:300].decode('latin-1')}"
        return f"{self.method} {target} {str(self.headers)[:500]} {self.body[:300]!r}"


@dataclass
class Answer:
    """A response. Header names are as they were sent."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def get(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def mimetype(self) -> str:
        return (self.get("Content-Type") or "").split(";")[0]


class Fuzzer:
    """Generates requests, and learns links and forms from the responses.

    :param seed: the same seed and the same responses give the same requests.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._rules = list(url_map.iter_rules())
        self._links: set[str] = set()
        #: Forms seen: action and fields.
        self._forms: dict[str, dict[str, str]] = {}
        self._cookies: dict[str, str] = {}
        #: The last ETag of each path.
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
        wanted.sender = f"10.{self._random.randrange(250)}.{self._random.randrange(250)}.1"
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
            if kind:
                return "2026" if "4" in kind else "11"
            return str(self._pick(["garden", "counting-words"]))

        path = re.sub(r"<(?:([^:>]*):)?\w+>", value, rule.rule)
        return path.encode("utf-8", "surrogatepass")

    def _submit(self) -> Wanted:
        action = self._pick(set(self._forms))
        strangely = self._pick([0, 0.2, 0.5])
        fields = {
            name: self._word() if self._random.random() < strangely else value
            for name, value in self._forms[action].items()
            if self._random.random() < (0.3 if value == "yes" else 0.95)
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
