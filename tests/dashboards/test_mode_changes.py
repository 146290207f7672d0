"""One change of a policy's mode is one row, on whatever days senders come to see it."""

from __future__ import annotations

from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING

import pytest
from asking import ask, panel_sql
from clock import TODAY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conftest import DemoStore
    from engine import Storage

pytestmark = pytest.mark.slow

_keys = count(1)


def saw(storage: Storage, organization: str, modes: Mapping[int, str]) -> None:
    """What a sender reported, by days ago."""
    storage.put(
        "tls_policies",
        *(
            {
                "day": TODAY - timedelta(days=days_ago),
                "report_key": next(_keys),
                "organization": organization,
                "sts_mode": mode,
                "successful_sessions": 1,
            }
            for days_ago, mode in modes.items()
        ),
    )


def changes(store: DemoStore) -> list[tuple[object, ...]]:
    """Days ago, from, to, senders; the last change first."""
    sql = panel_sql("mta-sts", "Changes of mode")
    return [
        ((TODAY - row["Day"]).days, row["From"], row["To"], row["Senders"])  # type: ignore[operator]
        for row in ask(store, "mta-sts", sql)
    ]


def test_a_sender_without_a_session_on_the_first_day_adds_no_row(storage: Storage, own_store: DemoStore) -> None:
    saw(storage, "Large", {day: "enforce" if day <= 7 else "testing" for day in range(1, 20)})
    saw(storage, "Small", {12: "testing", 9: "testing", 5: "enforce", 1: "enforce"})
    saw(storage, "Seldom", {18: "testing", 2: "enforce"})
    saw(storage, "New", {3: "enforce"})
    assert changes(own_store) == [(7, "testing", "enforce", 3)]


def test_there_and_back_and_there_again_are_three_changes(storage: Storage, own_store: DemoStore) -> None:
    mode = {**dict.fromkeys(range(15, 20), "testing"), **dict.fromkeys(range(10, 15), "enforce")}
    mode |= {**dict.fromkeys(range(6, 10), "testing"), **dict.fromkeys(range(1, 6), "enforce")}
    saw(storage, "Large", mode)
    saw(storage, "Small", {day: mode[day] for day in (16, 13, 8, 2)})
    assert changes(own_store) == [
        (5, "testing", "enforce", 2),
        (9, "enforce", "testing", 2),
        (14, "testing", "enforce", 2),
    ]
