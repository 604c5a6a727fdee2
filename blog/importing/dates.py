"""Parsing of dates as people and programs write them."""

import re
from datetime import UTC, datetime, timedelta, timezone

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
#: The zone names of RFC 2822, section 4.3; other names are ambiguous or unknown.
_ZONES = {"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}
_LONGEST = 100

_TIME = r"""
    (?: (?:T|,?\s++(?:at\s++)?) (?P<hour>\d{1,2}) : (?P<minute>\d\d)
        (?: : (?P<second>\d\d) (?:[.,](?P<fraction>\d{1,9}))? )?
        (?: \s*+ (?P<half>[ap])\.?m\b\.? )?
        \s*+ (?P<zone> Z | [A-Z]{2,5} | (?:UTC|GMT)?[+-]\d{1,2}(?::?\d\d)? )?
        (?: \s*+ [(\[] [^()\[\]]* [)\]] )?
    )?
"""
_FORMS = [
    re.compile(rf"\s*+{date}{_TIME}\s*+", re.VERBOSE | re.IGNORECASE)
    for date in (
        r"(?P<year>\d{4}) (?P<mark>[-/.]) (?P<month>\d{1,2}) (?P=mark) (?P<day>\d{1,2})",
        r"(?P<day>\d{1,2}) \. \s*+ (?P<month>\d{1,2}) \. \s*+ (?P<year>\d{4})",
        r"(?:[a-z]{3,9}\.?,?\s++)? (?P<day>\d{1,2})(?:st|nd|rd|th|\.)? (?:\s++|-)"
        r"(?P<month>[a-z]{3,9})\.?,? (?:\s++|-) (?P<year>\d{4})",
        r"(?:[a-z]{3,9}\.?,?\s++)? (?P<month>[a-z]{3,9})\.?\s++ (?P<day>\d{1,2})(?:st|nd|rd|th)?,?"
        r"\s++ (?P<year>\d{4})",
    )
]


def moment(text: str) -> datetime | None:
    """Return the moment that `text` names, or None if it is not a single date.

    Supported are ISO 8601 and similar forms, RFC 2822, ``12 March 2014``, ``March 12, 2014`` and
    ``12.3.2014``, each with or without a time. ``3/4/2014`` is ambiguous (US or British), so it is
    not a date. A time without a zone is UTC; a date without a time is midnight.
    """
    if len(text) > _LONGEST:
        return None  # the patterns below may be slow to reject a long text
    found = next((match for form in _FORMS if (match := form.fullmatch(text))), None)
    if found is None:
        return None
    try:
        return _moment({name: part or "" for name, part in found.groupdict().items()})
    except (KeyError, ValueError, OverflowError):
        return None


def _moment(parts: dict[str, str]) -> datetime:
    hour = int(parts["hour"] or 0)
    if parts["half"]:
        hour = hour % 12 + (12 if parts["half"].lower() == "p" else 0)
    local = datetime(
        int(parts["year"]),
        _month(parts["month"]),
        int(parts["day"]),
        hour,
        int(parts["minute"] or 0),
        int(parts["second"] or 0),
        int(parts["fraction"][:6].ljust(6, "0")),
        tzinfo=_zone(parts["zone"]),
    )
    return local.astimezone(UTC)


def _month(text: str) -> int:
    return int(text) if text.isdigit() else _MONTHS.index(text[:3].lower()) + 1


def _zone(text: str) -> timezone:
    if text.upper() in {"", "Z", "UTC", "GMT"}:
        return UTC
    numeric = re.fullmatch(r"(?:UTC|GMT)?([+-])(\d{1,2}):?(\d\d)?", text, re.IGNORECASE)
    if numeric:
        sign, hours, minutes = numeric.groups(default="0")
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        return timezone(offset if sign == "+" else -offset)
    return timezone(timedelta(hours=_ZONES[text.upper()]))
