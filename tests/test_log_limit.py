"""What anybody can cause in a log is bounded, and what was left out is counted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import structlog

from mailposture import logs
from mailposture.log_limit import LogLimit

if TYPE_CHECKING:
    from pathlib import Path


def test_lines_beyond_the_limit_are_counted_in_the_next_one() -> None:
    now = [0.0]
    limit = LogLimit(lines=2, period=60, clock=lambda: now[0])

    def say(event: str) -> object:
        try:
            return limit(None, "info", {"event": event}).get("lines_left_out", 0)
        except structlog.DropEvent:
            return "left out"

    assert [say("a") for _ in range(5)] == [0, 0, "left out", "left out", "left out"]
    assert say("b") == 0, "each event has a limit of its own"
    now[0] = 59.0
    assert say("a") == "left out"
    now[0] = 60.0
    assert [say("a") for _ in range(3)] == [4, 0, "left out"]


@pytest.mark.parametrize("method", ["info", "error", "exception"])
def test_a_log_of_ours_has_the_limit(tmp_path: Path, method: str) -> None:
    logs.set_up("test", tmp_path / "log")
    for number in range(1000):
        getattr(structlog.get_logger(), method)("the same", number=number)
    structlog.get_logger().info("another")
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["the same"] * 60 + ["another"]
