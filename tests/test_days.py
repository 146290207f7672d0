"""Tests hold on any day, also on one that ends while they run."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import clock
import pytest

TESTS = Path(__file__).parent


def _asks(node: ast.AST, *methods: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in methods


def _takes_a_day(node: ast.AST) -> bool:
    """date.today(), or .date() of an expression with now() in it."""
    return _asks(node, "today") or (_asks(node, "date") and any(_asks(part, "now") for part in ast.walk(node)))


def test_the_day_comes_from_the_start_of_the_run() -> None:
    """Whoever asks the clock a second time may get another day."""
    found = Counter(
        str(path.relative_to(TESTS))
        for path in TESTS.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if _takes_a_day(node)
    )
    assert found == {"clock.py": 1}


def test_all_workers_have_the_days_of_the_run(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.getoption("began") == str(clock.REAL_TODAY)
    assert pytestconfig.getoption("today") == str(clock.TODAY)


@pytest.mark.slow
def test_programs_that_keep_the_real_time_are_tested_past_midnight() -> None:
    """As if it had been midnight between the start of the run and this test."""
    yesterday = clock.REAL_TODAY - timedelta(days=1)
    files = ["sources_mail/test_mailbox_to_tables.py", "cli/test_acknowledge.py", "clickhouse/test_migrations.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--began={yesterday}", *files]
    done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:]
