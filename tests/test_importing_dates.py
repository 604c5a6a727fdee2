"""Dates in the formats of other blogs."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blog.importing.dates import moment


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2014-03-12", "2014-03-12 00:00"),
        ("2024-12-5", "2024-12-05 00:00"),
        ("2014/03/12 10:11", "2014-03-12 10:11"),
        ("2014-03-12T10:11:00-04:00", "2014-03-12 14:11"),
        ("2014-03-12 9:11:00 -5", "2014-03-12 14:11"),
        ("2014-03-12 10:11:00 +0530", "2014-03-12 04:41"),
        ("2014-03-12T10:11:00Z", "2014-03-12 10:11"),
        ("2014-03-12 10:11:00 EST", "2014-03-12 15:11"),
        ("2014-03-12T10:11:00+01:00[Europe/Berlin]", "2014-03-12 09:11"),
        ("Wed, 12 Mar 2014 10:11:00 +0000", "2014-03-12 10:11"),
        ("12 March 2014", "2014-03-12 00:00"),
        ("March 12th, 2014 at 12:05 am", "2014-03-12 00:05"),
        ("Mar 12, 2014 1:05 p.m.", "2014-03-12 13:05"),
        ("12.3.2014", "2014-03-12 00:00"),
        ("Wed Mar 12 2014 10:11:00 GMT+0100 (CET)", "2014-03-12 09:11"),
    ],
)
def test_date_formats(text: str, utc: str) -> None:
    assert moment(text) == datetime.fromisoformat(utc).replace(tzinfo=UTC)


def test_fraction_of_second_is_kept() -> None:
    assert moment("2014-03-12T10:11:12.123Z") == datetime(2014, 3, 12, 10, 11, 12, 123000, UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "true",
        "3/4/2014",
        "2014-02-30",
        "0000-00-00 00:00:00",
        "Wed, 30 Nov -0001 00:00:00 +0000",
        "2014-03-12 10:11 XYZ",
        "0001-01-01T00:00+14:00",
        "9999-12-31T23:59-01:00",
        "12 Unknown 2014",
        "2014-03-12" + " " * 10_000 + "x",
    ],
)
def test_ambiguous_or_invalid_date_is_none(text: str) -> None:
    assert moment(text) is None


@given(st.datetimes(timezones=st.just(UTC)))
def test_iso_date_round_trip(value: datetime) -> None:
    assert moment(value.isoformat()) == value
    assert moment(f"{value:%Y}".zfill(4) + f"{value:-%m-%d %H:%M:%S.%f} +0000") == value


@given(st.text())
def test_any_date_text_is_handled(text: str) -> None:
    found = moment(text)
    assert found is None or found.tzinfo is UTC
