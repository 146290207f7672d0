"""What tests of DMARC reports share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from collector.documents.message import open_message
from mailposture.config.model import Config
from mailposture.ownership import Ownership
from reports.dmarc.kind import DMARC
from reports.envelope import Envelope, Source, Trust
from reports.kind import Provenance
from reports.reading import read_reports

if TYPE_CHECKING:
    from collections.abc import Callable

    from reports.rows import Rows


@pytest.fixture(scope="session")
def dmarc_rows() -> Callable[[bytes], Rows]:
    """The rows of the one DMARC report in a file."""
    ownership = Ownership(Config.model_validate({"domains": [{"name": "example.com"}]}))
    envelope = Envelope(source=Source.FILE, received_at=datetime(2026, 3, 3, tzinfo=UTC))

    def rows(content: bytes) -> Rows:
        opened = open_message(content)
        ((kind, report),) = read_reports(opened).reports
        assert kind is DMARC
        ours = DMARC.attribute(report, opened, envelope, ownership)
        provenance = Provenance(opened=opened, envelope=envelope, arrived_at=envelope.received_at, trust=Trust.OPERATOR)
        (only,) = DMARC.rows([(report, ours)], provenance)
        return only

    return rows
