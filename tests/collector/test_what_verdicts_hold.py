"""A verdict holds no message: an exception that is kept holds its frames, and they hold all that was being read."""

from __future__ import annotations

import ast
import gc
import gzip
import tracemalloc
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ingesting import arrived

from collector.importing.files import find
from collector.ingest.judge import Judge, Rejected
from collector.trust import DkimVerifier, KeyCache
from mailposture.config.model import Config
from reports.envelope import Source

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

MIB = 2**20
HOUSE = Path(__file__).parents[2]
FLOORS = ("cli", "collector", "exporter", "policy_host", "demo", "mailposture", "dashboards")

JUNK = {
    "noise": b"\x00\xff" * MIB,
    "a truncated gzip": gzip.compress(b"\x00\xff" * MIB, 0)[:-20],
    "a bomb": gzip.compress(bytes(64 * MIB)),
    "a mail of junk": b"Subject: x\n\n" + b"junk\n" * (MIB // 4),
    "a mail with broken gzip": b"Content-Type: application/gzip\n\n\x1f\x8b\x08" + b"\x01" * MIB,
    "JSON that is no report": b'{"a": "' + b"x" * 2 * MIB + b'"}',
    "JSON that ends too early": b'{"policies": [' + b"[1],\n" * (MIB // 8),
    "a report of too many policies": b'{"date-range": {}, "policies": [' + b"{}," * 5_000 + b"{}]}",
    "a report without a period": b'{"organization-name": "' + b"x" * MIB + b'", "policies": []}',
}


@pytest.fixture
def judge() -> Iterator[Judge]:
    with closing(KeyCache(nameservers=("127.0.0.1@9",), timeout=timedelta(milliseconds=1))) as keys:
        config = Config.model_validate({"domains": [{"name": "example.com"}]})
        yield Judge(config, verifier=DkimVerifier(keys=keys))


@pytest.mark.parametrize("body", JUNK.values(), ids=JUNK.keys())
def test_the_verdict_on_junk_holds_none_of_it(judge, body):
    def verdict():
        (found,) = judge.judge([(arrived(Source.FILE, by_operator=True), body)], now=datetime.now(UTC))
        assert isinstance(found, Rejected)
        assert found.fault.reason != "internal"
        return found

    verdict()  # what is made once and stays, such as compiled expressions
    gc.collect()
    gc.disable()  # what only the garbage collector frees is held, for as long as it has no reason to run
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept = [verdict() for _ in range(3)]
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert len(kept) == 3
    assert after - before < 64 * 1024


def test_faults_of_files_hold_none_of_them(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.json.gz").write_bytes(b"\x1f\x8b\x08" + bytes(MIB))
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        kept = [found.fault for found in find([tmp_path])]
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert len(kept) == 3
    assert held < 64 * 1024


def _kept_exceptions(tree: ast.Module) -> list[int]:
    """Lines where a handler puts its exception itself into something: returns it, appends it, assigns it."""
    lines = []
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for handler in (node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.name):
        for use in ast.walk(handler):
            if not (isinstance(use, ast.Name) and use.id == handler.name):
                continue
            parent = parents[use]
            stored = isinstance(parent, (ast.Return, ast.Assign, ast.AnnAssign, ast.NamedExpr, ast.Yield, ast.keyword))
            stored |= isinstance(parent, (ast.List, ast.Tuple, ast.Set, ast.Dict, ast.IfExp))
            called = parent.func if isinstance(parent, ast.Call) else None
            # A method or a class may keep what it is given; a plain function of ours returns words.
            stored |= isinstance(called, ast.Attribute) and called.attr in ("append", "add", "put", "set_exception")
            stored |= isinstance(called, ast.Name) and called.id[:1].isupper()
            if stored:
                lines.append(use.lineno)
    return lines


@pytest.mark.parametrize("floor", FLOORS)
def test_no_handler_keeps_its_exception(floor):
    kept = [
        f"{path.relative_to(HOUSE)}:{line}"
        for path in sorted((HOUSE / floor).rglob("*.py"))
        for line in _kept_exceptions(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert kept == []


def test_a_handler_that_keeps_its_exception_is_found():
    source = "try:\n    read()\nexcept ValueError as error:\n    faults.append(error)\n    kept = Rejected(error)\n"
    assert _kept_exceptions(ast.parse(source)) == [4, 5]
