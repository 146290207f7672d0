"""The last probe of each server and of each policy, as SQL, and when the certificate that it saw must be renewed."""

from __future__ import annotations

from typing import Final

from dashboards.builders.common import look
from dashboards.builders.common.grafana import fixed, words
from dashboards.builders.common.panels import UNKNOWN, Column
from dashboards.builders.common.scope import IN_RANGE
from dashboards.builders.common.variables import DOMAINS
from dashboards.builders.tls.probe_faults import BLOCKED
from mailposture.clickhouse.thresholds import to_be_renewed

SERVERS: Final = f"""
    SELECT probed.*, certificate_expiry_seconds
    FROM (
        SELECT *, max(day) OVER (PARTITION BY policy_domain) AS newest
        FROM probe_results_daily
        WHERE {IN_RANGE} AND {DOMAINS} AND probe = 'mx'
    ) AS probed
    LEFT JOIN (SELECT policy_domain, certificate_expiry_seconds FROM domains) AS configured USING (policy_domain)
    WHERE day >= newest - 1
    ORDER BY day DESC
    LIMIT 1 BY policy_domain, receiving_mx, receiving_ip"""
"""SQL: the last day of each server. A server that probes no longer meet is gone."""

POLICIES: Final = f"""
    SELECT *
    FROM probe_results_daily
    WHERE {IN_RANGE} AND {DOMAINS} AND probe = 'mta-sts'
    ORDER BY day DESC
    LIMIT 1 BY policy_domain"""
"""SQL: the last day of each policy."""

FAULT_IN_WORDS: Final = "if(last_reason = '', '', last_detail)"
DAYS_LEFT: Final = "dateDiff('day', (SELECT today FROM clock), toDate(certificate_not_after, 'UTC'))"

RENEWAL: Final = f"""multiIf(
                    certificate_not_after IS NULL, 'unknown',
                    certificate_not_after <= (SELECT now FROM clock), 'expired',
                    {to_be_renewed("certificate_not_after", "(SELECT now FROM clock)")}, 'due',
                    'later')"""
"""SQL: what alert MxCertificateExpiring thinks of a certificate; each domain has its own threshold."""

_YES_NO: Final = words({"yes": ("yes", look.GOOD), "no": ("no", look.BAD), "unknown": ("-", UNKNOWN)})
_REASONS: Final = words(
    {"": ("good", look.GOOD), "good": ("good", look.GOOD), BLOCKED: ("port 25 closed here", UNKNOWN)}
)


def verdict_column(name: str, *, width: int) -> Column:
    return Column(name=name, width=width, cell=look.COLORED_TEXT, mappings=(_YES_NO,))


def reason_column(name: str, *, width: int) -> Column:
    """Good, or the reason in red."""
    return Column(name=name, width=width, cell=look.COLORED_TEXT, color=fixed(look.BAD), mappings=(_REASONS,))
