"""The visibility of imported texts: whatever is not clearly public becomes a draft.

Every importer uses :func:`decide`. It compares a field about visibility with the values that mean
"public"; any other value, misspelt or unknown, makes a draft.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from blog.importing.dates import moment
from blog.importing.front_matter import Value
from blog.importing.texts import one_line
from blog.models.entry import EntryState

_YES = frozenset({"true", "yes", "on", "1", "y"})
_NO = frozenset({"false", "no", "off", "0", "n"})
#: WordPress, Pelican, Ghost, Nikola (`featured`), Jetpack (`everybody`), Hugo (`always`).
_PUBLIC = {"publish", "published", "public", "featured", "everybody", "always"}
_SCHEDULED = {"future", "scheduled"}

# Field names, in lower case and without punctuation.
#: Public only if it is false.
_AGAINST = {
    "archived", "confidential", "deleted", "disabled", "draft", "drafts",
    "eleventyexcludefromcollections", "emailonly", "encrypt", "encrypted", "headless", "hidden",
    "ignore", "ignored", "internal", "isdraft", "ishidden", "isprivate", "isunlisted",
    "membersaccessrole", "membersonly", "paid", "paywall", "premium", "private", "protected",
    "restricted", "saveasdraft", "secret", "skip", "subscribersonly", "trash", "trashed",
    "unlisted", "unpublished", "wip",
}  # fmt: skip
#: Public only if it is true, a word for public, or a date.
_FOR = {
    "buildlist", "buildrender", "ispublic", "ispublished", "listed", "makediscoverable", "public",
    "publish", "published", "visible",
}  # fmt: skip
#: Public only with a word for public.
_STATES = {
    "access", "jetpacknewsletteraccess", "postaccess", "poststate", "poststatus",
    "postvisibility", "state", "status", "visibility",
}  # fmt: skip
_PASSWORDS = {"pass", "passphrase", "passwd", "password", "postpassword"}
_BEGINNINGS = {
    "date", "embargo", "embargoeduntil", "embargountil", "golive", "golivedate", "postdate",
    "pubdate", "publish", "publishat", "publishdate", "published", "publishedat", "publisheddate",
    "publishedon", "publishfrom", "publishon", "scheduled", "scheduledat", "scheduledfor",
}  # fmt: skip
_ENDS = {
    "expirationdate", "expire", "expires", "expiresat", "expireson", "expiry", "expirydate",
    "publishuntil", "unpublish", "unpublishat", "unpublishdate", "unpublishon", "visibleuntil",
}  # fmt: skip
_TAGS = ("tags", "tag", "categories", "category")
_HIDDEN = frozenset({"draft", "drafts", "private"})
#: Fields that hide a text with certain values only.
_HIDING: dict[str, frozenset[str]] = {
    # https://www.11ty.dev/docs/permalinks/, https://www.getzola.org/documentation/content/page/
    **dict.fromkeys(("permalink", "url", "output", "render"), _NO),
    **dict.fromkeys(("layout", "type"), _HIDDEN),
    # Nikola before version 8
    **dict.fromkeys(_TAGS, _HIDDEN),
    "hide": _YES,  # MkDocs has a list of navigation here
    "audience": frozenset({"only_paid", "only_free", "founding", "members", "paid"}),  # Substack
}
_SAY = {*_AGAINST, *_FOR, *_STATES, *_PASSWORDS, *_BEGINNINGS, *_ENDS}

#: Mappings whose own fields count: Hugo's, Zola's, and what YAML merges.
_NESTED = {"", "build", "cascade", "data", "extra", "meta", "metadata", "page", "params"}

_FOLDERS = {"draft", "drafts", "hidden", "private", "trash", "unlisted", "unpublished"}
#: The start of a members-only part: Ghost, Jetpack, WordPress.com.
_GATE = re.compile(r"<!--\s*+(?:members-only|wp:jetpack/paywall|wp:premium-content/)")
#: Names of metadata at the beginning of a text.
_STRAY = {
    "draft", "expirydate", "hidden", "password", "private", "publish", "publishdate", "published",
    "status", "unlisted", "visibility",
}  # fmt: skip
_LINE = re.compile(r"""[\s.:"'#*<!-]*+([a-z][\w -]{0,40}+)["'*]*+\s*+[:=]""", re.IGNORECASE)
_YEAR = re.compile(r"\d{4}", re.ASCII)
_LONGEST = 40


@dataclass(frozen=True)
class Visibility:
    """The visibility of a text, with reasons.

    :param timestamp: when it was or will be published, or None if the source has no date.
    :param notes: the reasons against publishing it, one sentence each.
    """

    state: EntryState
    timestamp: datetime | None
    notes: tuple[str, ...]


class _Said(NamedTuple):
    name: str
    text: str
    #: Its name in a note.
    shown: str


def decide(
    fields: Mapping[str, Value],
    body: str,
    date: datetime | None,
    *,
    folders: Iterable[str] = (),
    doubts: Iterable[str] = (),
) -> Visibility:
    """Return whether a text is or will be public.

    :param fields: all fields that the source has for the text.
    :param body: the text.
    :param date: its date, or None if the source has none that can be read.
    :param folders: the names of its folders.
    :param doubts: further reasons against publishing it, one clause each.
    """
    now = datetime.now(UTC)
    said = list(_all_said(fields))
    begins = [found for each in said if each.name in _BEGINNINGS if (found := moment(each.text))]
    timestamp = date or max(begins, default=None)
    if upcoming := [each for each in begins if each > now]:
        timestamp = max(*upcoming, timestamp or now)
    against = [*doubts, *_places(folders), *_fields(said, timestamp, now)]
    if _GATE.search(body):
        against.append("part of the text is for members only")
    if timestamp is None and not is_page(fields):
        against.append("no readable date, so it is dated by the file")
    if against:
        notes = dict.fromkeys(f"Imported as a draft: {reason}." for reason in against)
        return Visibility("draft", timestamp, tuple(notes))
    return Visibility("published", timestamp, tuple(_changes(said, timestamp, now)))


def is_page(fields: Mapping[str, Value]) -> bool:
    """Tell whether a text is marked as a page: pages often have no date and are still public."""
    return "page" in (fields.get("type"), fields.get("layout"))


def speaks_of(name: str) -> bool:
    """Tell whether a field of that name concerns visibility."""
    return _folded(name) in _SAY | {"build"}


def _all_said(fields: Mapping[str, Value]) -> Iterator[_Said]:
    yield from _said_in(fields, "")
    for key, value in fields.items():
        # No deeper: with aliases, YAML can repeat one mapping a million times.
        if (name := _folded(key)) in _NESTED:
            for inner in value if isinstance(value, list) else [value]:
                if isinstance(inner, dict):
                    yield from _said_in(inner, name if name == "build" else "")


def _said_in(fields: Mapping[str, Value], prefix: str) -> Iterator[_Said]:
    for key, value in fields.items():
        name = prefix + _folded(key)
        if name in _SAY or name in _HIDING:
            texts = (text for text in _texts(value) if text)
            words = (word for text in texts for word in _words(name, text))
            yield from (_Said(name, word, key) for word in words)


def _words(name: str, text: str) -> list[str]:
    # Tools differ on whether words are one tag or several; any word that hides it is enough.
    return re.split(r"[\s,;]", text) if name in _TAGS else [text]


def _folded(name: str) -> str:
    return re.sub(r"[\W_]", "", name).casefold()


def _texts(value: Value) -> Iterator[str]:
    """Yield each text in `value`; deeper nesting counts as an unknown value."""
    for inner in value if isinstance(value, list) else [value]:
        yield inner if isinstance(inner, str) else "…" if inner else ""


def _fields(said: list[_Said], timestamp: datetime | None, now: datetime) -> Iterator[str]:
    for each in said:
        word = one_line(each.text).casefold().removeprefix("#")
        if each.name in _STATES and word in _SCHEDULED and timestamp and timestamp <= now:
            yield f"“{each.shown}” is “{word}”, but its date has passed"
        elif _is_public(each, word, now):
            continue
        elif each.name in _PASSWORDS:
            yield "protected by a password"
        else:
            yield f"“{one_line(each.shown)[:_LONGEST]}” is “{one_line(each.text)[:_LONGEST]}”"


def _is_public(each: _Said, word: str, now: datetime) -> bool:
    name, day = each.name, moment(each.text)
    if name in _HIDING:
        return word not in _HIDING[name]
    if name in _AGAINST or name in _PASSWORDS:
        return word in _NO
    if name in _STATES:
        return word in _PUBLIC | _SCHEDULED
    if name in _ENDS:
        return word in _NO or (day is not None and day > now)
    if name in _FOR and word in _YES | _PUBLIC:
        return True
    return name in _BEGINNINGS and (day is not None or _is_past(each.text, now))


def _is_past(date: str, now: datetime) -> bool:
    """Tell whether a date that cannot be parsed is certainly past."""
    years = _YEAR.findall(date)
    return bool(years) and all(int(year) < now.year for year in years)


def _changes(said: list[_Said], timestamp: datetime | None, now: datetime) -> Iterator[str]:
    """Yield notes on scheduled publication and expiry, one sentence each."""
    if timestamp and timestamp > now:
        yield f"Scheduled for {timestamp:%Y-%m-%d %H:%M} UTC."
    for each in said:
        if each.name in _ENDS and (end := moment(each.text)):
            yield f"Expiry dates are not supported: this stays public after {end:%Y-%m-%d}."


def _places(folders: Iterable[str]) -> Iterator[str]:
    for folder in folders:
        if folder.casefold().lstrip("_") in _FOLDERS:
            yield f"in a folder named “{folder}”"


def stray_metadata(body: str) -> Iterator[str]:
    """Yield a clause if a Markdown text begins with what may be metadata."""
    for line in _first_block(body):
        found = _LINE.match(line)
        if found and _folded(found[1]) in _STRAY:
            yield f"the text begins with what may be metadata (“{one_line(line)[:_LONGEST]}”)"
            return


def _first_block(body: str) -> Iterator[str]:
    begun = False
    for line in body.lstrip().split("\n", 100)[:100]:
        is_text = any(character.isalnum() for character in line)
        if begun and not is_text:
            return
        begun = is_text
        yield line
