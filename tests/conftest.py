"""What every test may rely on."""

from __future__ import annotations

import os
import sys
from datetime import date
from pathlib import Path

import clock
import pytest
import structlog

from mailposture.clickhouse import timeouts

if (
    sys.dont_write_bytecode
):  # then each worker, and each program that a test starts, would compile everything for itself
    sys.dont_write_bytecode, sys.pycache_prefix = False, str(Path(__file__).parents[1] / ".pytest_cache/compiled")
    os.environ |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": sys.pycache_prefix}

pytest_plugins = (
    "engine",
    "two_domains",
)  # their fixtures are of a session: imported by each folder they would be several

timeouts.CONNECT, timeouts.SILENCE = (
    60,
    300,
)  # seconds; while it plans a query ClickHouse is silent, on a busy machine long


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    parser.addoption("--today", metavar="YYYY-MM-DD", help="the day that tests take for today (UTC)")
    parser.addoption("--began", metavar="YYYY-MM-DD", help="yesterday (UTC), as if midnight had passed since the start")
    # Not later: conftest.py of folders, and what they import, come before pytest_configure(). Workers of xdist get no
    # arguments, but the options that were read from them.
    config = pluginmanager.get_plugin("pytestconfig")
    assert config is not None
    given = parser.parse_known_args(config.invocation_params.args)
    began = getattr(config.option, "began", None) or given.began or str(clock.REAL_TODAY)
    today = getattr(config.option, "today", None) or given.today or began
    clock.set_today(date.fromisoformat(today), began=date.fromisoformat(began))


def pytest_configure(config: pytest.Config) -> None:
    for option, day in (("today", clock.TODAY), ("began", clock.REAL_TODAY)):
        if config.getoption(option) not in (None, str(day)):
            raise pytest.UsageError(f"--{option} is for the command line only")
        setattr(config.option, option, str(day))  # workers begin later, and have the same days


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
