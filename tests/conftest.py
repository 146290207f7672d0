"""What every test may rely on."""

from __future__ import annotations

from datetime import date

import clock
import pytest
import structlog


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    parser.addoption("--today", metavar="YYYY-MM-DD", help="the day that tests take for today (UTC)")
    # Not later: conftest.py of folders, and what they import, come before pytest_configure(). Workers of xdist get no
    # arguments, but the options that were read from them.
    config = pluginmanager.get_plugin("pytestconfig")
    assert config is not None
    today = getattr(config.option, "today", None) or parser.parse_known_args(config.invocation_params.args).today
    if today:
        clock.set_today(date.fromisoformat(today))


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("today") not in (None, str(clock.TODAY)):
        raise pytest.UsageError("--today is for the command line only")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, so that no worker waits for another's long file at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_report_header() -> str:
    return f"today: {clock.TODAY:%A %Y-%m-%d}"


@pytest.fixture(autouse=True)
def logs_as_they_come():
    """Each test begins with structlog's defaults, also after one that has set logs up for a command of its own."""
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
