"""The schema: what all kinds of reports share, a group of steps per kind, and the views over all kinds."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from mailposture.clickhouse.schema_steps import COMMON, Group
from reports.envelope import Source
from reports.kinds import KINDS

_WORDS: Final = {
    "sources_with_delay": ", ".join(f"'{source.value}'" for source in Source if source.comes_when_sent),
}
SCHEMA_GROUPS: Final = (
    COMMON,
    *(Group(name=kind.name, folder=kind.schema, words=_WORDS) for kind in KINDS),
    Group(name="all", folder=Path(__file__).parent / "schema", words=_WORDS),
)
