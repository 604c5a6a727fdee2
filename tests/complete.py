"""A pytest plugin: a test whose marker says "needs …" fails instead of being skipped.

Where everything is installed, `pytest -p tests.complete` proves that everything was tested.
"""

import re
from collections.abc import Generator

import pytest

from tests.conftest import SAMPLES


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    needed = {
        found[1]
        for line in item.config.getini("markers")
        if (found := re.match(r"(\w+): needs ", line))
    }
    # The samples are not part of the project.
    if not SAMPLES.is_dir():
        needed.remove("samples")
    if report.skipped and any(item.get_closest_marker(name) for name in needed):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped: {report.longreprtext}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped: {report.longreprtext}"
    return report
