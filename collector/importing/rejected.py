"""What an import could not use: its bytes, beside what the collector holds, and a row in `rejections`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailposture.clickhouse.parameters import names
from reports.envelope import Source
from reports.rejection import RejectionRow

if TYPE_CHECKING:
    from collections.abc import Collection

    from clickhouse_connect.driver import Client

    from collector.importing.files import Found
    from collector.ingest.writer import Writer
    from collector.spool import HeldMessages
    from reports.rejection import Fault


class RejectedFiles:
    """Keeps them. Importing the same files again keeps them once and leaves one row of each."""

    def __init__(self, *, held: HeldMessages, writer: Writer, client: Client) -> None:
        self._held = held
        self._writer = writer
        self._client = client

    def keep(self, rejected: list[tuple[Found, Fault]]) -> None:
        """Keep what a batch could not use; durable when it returns.

        Raises SpoolFullError when the disk has no room, and what ClickHouse raises.
        """
        if not rejected:
            return
        held = self._held.keep((found.envelope, found.body, fault) for found, fault in rejected)
        rows = {
            name: RejectionRow.of(found.envelope, fault, size=len(found.body), held_id=name)
            for name, (found, fault) in zip(held, rejected, strict=True)
        }
        known = self._known(rows.keys())
        self._writer.reject(row for name, row in rows.items() if name not in known)

    def _known(self, held: Collection[str]) -> set[str]:
        """Which of them an earlier import has rejected: a row is found by when it was first."""
        some = names("held", list(held))
        answer = self._client.query(
            f"SELECT held_id FROM rejections WHERE source = {{source:String}} AND held_id IN {some.sql}",
            parameters={"source": Source.FILE.value, **some.parameters},
        )
        return {str(row[0]) for row in answer.result_rows}
