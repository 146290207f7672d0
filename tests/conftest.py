"""What every test may rely on."""

from __future__ import annotations

from datetime import date

import clock
import pytest
import structlog


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--today", metavar="YYYY-MM-DD", type=date.fromisoformat, help="the day that tests take for today (UTC)"
    )


def pytest_configure(config: pytest.Config) -> None:
    if day := config.getoption("today"):
        clock.set_today(day)


def pytest_report_header() -> str:
    return f"today: {clock.TODAY:%A %Y-%m-%d}"


@pytest.fixture(autouse=True)
def logs_as_they_come():
    """Each test begins with structlog's defaults, also after one that has set logs up for a command of its own."""
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
