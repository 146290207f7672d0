from __future__ import annotations

from typing import TYPE_CHECKING

import loopback_dns
import pytest
from loopback_dns import Zone
from outside import ZONE, World, configuration, policy_of
from pki import make_ca

from mailposture.records.mta_sts import render_record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Everything is right; a test makes it wrong."""
    config = configuration()
    zone = Zone(ZONE % render_record(policy_of(config)))
    with loopback_dns.serving(zone) as dns_port:
        yield World(zone=zone, dns_port=dns_port, authority=make_ca(tmp_path), config=config)
