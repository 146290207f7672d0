"""A number of complete report days, and as many before to compare with: what summaries are about."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from mailposture.clickhouse.clock import today

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from clickhouse_connect.driver import Client

OF_DOMAIN: Final = "({domain:String} = '' OR policy_domain = {domain:String})"
"""SQL: rows of the domain that is asked about, or of all."""


class ReportDays:
    """Asks questions with the parameters `before` ≤ day < `start` ≤ day < `end`, `domain`, and `more`.

    `end` is today by default.
    """

    def __init__(
        self,
        client: Client,
        *,
        days: int,
        domain: str | None = None,
        end: date | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        end = end or today(client)
        self._client = client
        self._parameters: dict[str, Any] = {
            "start": end - timedelta(days=days),
            "end": end,
            "before": end - timedelta(days=2 * days),
            "domain": domain or "",
            **(more or {}),
        }

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of an answer."""
        return [tuple(row) for row in self._client.query(sql, parameters=self._parameters).result_rows]


def share(part: int, whole: int) -> float | None:
    """0 to 1; None of nothing."""
    return part / whole if whole else None
