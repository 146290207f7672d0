"""What untrusted senders cause in the log is bounded, and what was left out is counted."""

from __future__ import annotations

from mailposture.log_limit import LogLimit


def test_lines_beyond_the_limit_are_counted_in_the_next_one() -> None:
    now = [0.0]
    limit = LogLimit(lines=2, period=60, clock=lambda: now[0])
    assert [limit.admit("a") for _ in range(5)] == [0, 0, None, None, None]
    assert limit.admit("b") == 0, "kinds have limits of their own"
    now[0] = 59.0
    assert limit.admit("a") is None
    now[0] = 60.0
    assert [limit.admit("a") for _ in range(3)] == [4, 0, None]
