"""The schema: what all kinds of reports share, then a group of steps per kind."""

from __future__ import annotations

from typing import Final

from mailposture.clickhouse.schema_steps import COMMON, Group
from reports.kinds import KINDS

SCHEMA_GROUPS: Final = (COMMON, *(Group(name=kind.name, folder=kind.schema) for kind in KINDS))
