"""Each threshold of a domain is compared in one place, which all SQL is made of."""

from __future__ import annotations

import re
from pathlib import Path

from tree import files_in

from mailposture.clickhouse import schema_steps
from mailposture.config.model import ClickHouse
from reports.schema_groups import SCHEMA_GROUPS

ROOT = Path(__file__).parents[2]
PLACE = Path("mailposture/clickhouse/thresholds.py")
COLUMNS = "failure_ratio_threshold|minimum_sessions|stale_after_seconds|certificate_expiry_seconds"
COMPARED = re.compile(rf"[<>][^\n]*\b({COLUMNS})\b|\b({COLUMNS})\b[^\n]*[<>]")


def test_no_other_text_compares_with_a_threshold() -> None:
    folders = [folder for folder in ROOT.iterdir() if folder.is_dir() and folder.name not in ("tests", "bench")]
    files = [
        file.relative_to(ROOT)
        for folder in folders
        if not folder.name.startswith(".")
        for file in files_in(folder, ".py", ".sql")
    ]
    comparing = {file for file in files if COMPARED.search((ROOT / file).read_text(encoding="utf-8"))}
    assert comparing == {PLACE}


def test_views_compare_with_each_of_them() -> None:
    views = "".join(step.sql for step in schema_steps.views(SCHEMA_GROUPS, ClickHouse()))
    for comparison in (
        "judged >= greatest(minimum_sessions, 1)",
        "judged > failure_ratio_threshold * (of)",
        "mail < minimum_sessions",
        "missed_days * 86400 > stale_after_seconds",
        "not_after < as_of + toIntervalSecond(certificate_expiry_seconds)",
    ):
        assert comparison in views
