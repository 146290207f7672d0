"""The schema: what all kinds of reports share, a group of steps per kind, and the views over all kinds."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from mailposture.clickhouse.schema_steps import COMMON, Group
from reports.kinds import KINDS

SCHEMA_GROUPS: Final = (
    COMMON,
    *(Group(name=kind.name, folder=kind.schema) for kind in KINDS),
    Group(name="all", folder=Path(__file__).parent / "schema"),
)
