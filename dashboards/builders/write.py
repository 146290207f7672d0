"""All dashboards as the texts of their files."""

import json

from dashboards.builders.collector import dashboard as collector
from dashboards.builders.dmarc import domain as dmarc_domain
from dashboards.builders.dmarc import overview as dmarc_overview
from dashboards.builders.dmarc import source as dmarc_source
from dashboards.builders.tls import domain, failures, mta_sts, overview, senders

_DASHBOARDS = (
    overview.dashboard,
    domain.dashboard,
    failures.dashboard,
    senders.dashboard,
    mta_sts.dashboard,
    dmarc_overview.dashboard,
    dmarc_domain.dashboard,
    dmarc_source.dashboard,
    collector.dashboard,
)


def files() -> dict[str, str]:
    """File name → content."""
    made = [dashboard() for dashboard in _DASHBOARDS]
    return {
        f"{dashboard.uid.removeprefix('mailposture-')}.json": json.dumps(dashboard.json(), indent=2, ensure_ascii=False)
        + "\n"
        for dashboard in made
    }
