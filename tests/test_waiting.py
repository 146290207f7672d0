"""No test waits for a while and takes it for proof: what must come is waited for by eventually(), in one place."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parent

SLEEPS = {
    "eventually.py": 2,
    "authenticate/conftest.py": 1,  # a slow name server
    "faulty_policy_server.py": 1,  # a web server that never answers
    "policy_host/test_policy_clients.py": 1,  # a client that sends a byte now and then
    "probes/test_probe_schedule.py": 1,  # a probe that takes a while
    "sources_mail/test_hostile_imap.py": 1,  # a server that trickles its answer
    "sources_mail/test_hostile_web.py": 1,  # the same
    "sources_net/listeners.py": 1,  # what ended on the server's side gets its turn before the loop is closed
    "sources_net/test_smtp_source.py": 1,  # a client that sends byte by byte
    "spool/test_spool_crashes.py": 1,  # a reader that leaves the disk to others now and then
}
"""Calls of sleep() by file: each is how a client or server behaves, none is what a test concludes from."""


def _called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call) or ast.unparse(node).endswith("sleep(0)"):  # which only gives way to other tasks
        return ""
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _files_that_call(*functions: str) -> Counter[str]:
    return Counter(
        str(path.relative_to(TESTS))
        for path in TESTS.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if _called(node) in functions
    )


def test_nothing_sleeps_to_see_that_nothing_happens() -> None:
    assert _files_that_call("sleep") == SLEEPS


def test_no_test_judges_how_long_something_took() -> None:
    """Times are for bench/; a test counts what was done, or waits for it. CPU time may bound what is quadratic."""
    assert _files_that_call("monotonic", "perf_counter") == {"eventually.py": 4}
