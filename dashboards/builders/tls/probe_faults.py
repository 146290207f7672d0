"""What our own last probes find wrong, server by server: reports are a day old, probes minutes.

A fault of the last probe counts as one that needs attention when it was there before as well: alerts wait for a second
probe too. A certificate that must be renewed by now is a fault without any failed probe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.builders.common import look
from dashboards.builders.common.grafana import fixed, rows
from dashboards.builders.common.panels import Column, table
from dashboards.builders.common.variables import DOMAINS, END

if TYPE_CHECKING:
    from dashboards.builders.common.grafana import Panel

BLOCKED: Final = "outbound-port-25-blocked"
"""The reason of probes that do not get out: it says nothing about a server."""


def faults(domains: str) -> str:
    """SQL: one row per domain, server (or record, or policy) and fault.

    policy_domain, what, receiving_mx (empty for a record or a policy), fault, in_words, severity (that of the alert),
    failed and made (probes of the last two days), last_probed_at, again (a single failed probe is no fault yet).
    """
    return f"""
        SELECT
            policy_domain,
            multiIf(probe = 'mx', receiving_mx, probe = 'dns', concat('record ', record), 'MTA-STS policy') AS what,
            receiving_mx,
            found.1 AS fault,
            found.2 AS in_words,
            multiIf(
                fault IN ('starttls-not-offered', 'tlsa-mismatch'), 'critical',
                enforced AND (fault = 'mx-not-covered' OR (fault LIKE 'certificate-%' AND fault != 'certificate-due')),
                'critical', 'warning') AS severity,
            failed,
            made,
            last_probed_at,
            fault = 'certificate-due' OR failed > 1 AS again
        FROM (
            SELECT
                *,
                sum(probes - successes) OVER of_this AS failed,
                sum(probes) OVER of_this AS made,
                argMaxIf(sts_mode, last_probed_at, probe = 'mta-sts') OVER of_domain = 'enforce' AS enforced,
                last_probed_at = max(last_probed_at) OVER (PARTITION BY policy_domain, probe) AS is_last
            FROM probe_results_daily
            WHERE day >= {END} - 1 AND day <= {END} AND {domains}
            WINDOW
                of_this AS (PARTITION BY policy_domain, probe, record, receiving_mx, receiving_ip),
                of_domain AS (PARTITION BY policy_domain)
        ) AS last_probes
        INNER JOIN (SELECT policy_domain, certificate_expiry_seconds FROM domains) AS configured USING (policy_domain)
        ARRAY JOIN arrayFilter(each -> each.1 NOT IN ('', '{BLOCKED}'), [
            (toString(last_reason), last_detail),
            (if(last_reason != 'certificate-expired'
                    AND certificate_not_after < $__toTime + toIntervalSecond(certificate_expiry_seconds),
                'certificate-due', ''),
                concat('Its certificate expires on ', ifNull(toString(toDate(certificate_not_after)), ''), '.'))
        ]) AS found
        WHERE is_last"""


def last_faults(*, width: int, height: int) -> Panel:
    """Each of them, the worst first."""
    return table(
        "What our last probes find wrong",
        "Faults in the last probes of DNS records, MTA-STS policy and servers, first those for which mail is refused "
        "or sent in plaintext. Certificate-due: it expires sooner than the domain's threshold "
        "(thresholds.certificate_expiry). Failed: probes of the last two days, of those that could see it. Empty too "
        "when probes are off.",
        rows(
            f"""
            SELECT
                severity AS "Severity",
                what AS "What",
                fault AS "Fault",
                any(in_words) AS "In words",
                concat(toString(sum(failed)), ' of ', toString(sum(made))) AS "Failed",
                max(last_probed_at) AS "Probed"
            FROM ({faults(DOMAINS)})
            GROUP BY severity, what, fault
            ORDER BY indexOf(['critical', 'warning'], severity), what
            LIMIT 200"""
        ),
        columns=(
            look.severity(),
            Column(name="What", width=180, wrap=True),
            Column(name="Fault", width=165, cell=look.COLORED_TEXT, color=fixed(look.BAD)),
            Column(name="In words", wrap=True, room=220),
            Column(name="Failed", width=90),
            Column(name="Probed", unit="dateTimeFromNow", width=115),
        ),
        width=width,
        height=height,
        nothing="Our last probes found nothing wrong, or there were none.",
    )
