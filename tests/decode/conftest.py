"""What tests of decoding share: the samples, the domains that are ours, and the way from bytes to rows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tls_rows import tls_rows

from collector.documents.message import open_message
from mailposture.config.model import Config
from mailposture.ownership import Ownership
from reports.envelope import Envelope, Source, Trust
from reports.reading import read_reports

if TYPE_CHECKING:
    from collections.abc import Callable

    from reports.document import Opened
    from reports.tls.decode import TlsReport
    from reports.tls.rows import TlsRows

SAMPLES = Path(__file__).parent / "samples"


@pytest.fixture(scope="session")
def config() -> Config:
    """Two domains of ours, which share an MX host; example.com has one of its own as well."""
    return Config.model_validate(
        {
            "domains": [
                {"name": "example.com", "mx": ["mx1.example.com", "mx.shared.example"]},
                {"name": "example.net", "mx": ["mx.shared.example"]},
            ]
        }
    )


@pytest.fixture(scope="session")
def ownership(config: Config) -> Ownership:
    return Ownership(config)


@pytest.fixture(scope="session")
def sample() -> Callable[[str], bytes]:
    return lambda name: (SAMPLES / name).read_bytes()


@pytest.fixture(scope="session")
def opened(sample: Callable[[str], bytes]) -> Callable[[str], Opened]:
    return lambda name: open_message(sample(name))


@pytest.fixture(scope="session")
def report(opened: Callable[[str], Opened]) -> Callable[[str], TlsReport]:
    """The one report in a sample."""

    def read(name: str) -> TlsReport:
        ((_, only),) = read_reports(opened(name)).reports
        return only

    return read


@pytest.fixture(scope="session")
def rows(opened: Callable[[str], Opened], ownership: Ownership) -> Callable[..., TlsRows]:
    """The rows of the one report in a sample; keywords change the envelope."""

    def read(name: str, **envelope: Any) -> TlsRows:
        message = opened(name)
        ((_, only),) = read_reports(message).reports
        known = {"source": Source.SMTP, "received_at": datetime(2026, 3, 2, 10, tzinfo=UTC), **envelope}
        around = Envelope(**known)
        return tls_rows(only, ownership, opened=message, envelope=around, trust=Trust.DKIM, signer="sender.example")

    return read
