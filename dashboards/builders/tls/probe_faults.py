"""What our own last probes find wrong, server by server: reports are a day old, probes minutes.

The view `attention` takes its causes from the same rows (outside_findings), so the severities are the same: that of a
fault which only the last probe has is left out, because alerts wait for a second one.
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


def last_faults(*, width: int, height: int) -> Panel:
    """Each of them, the worst first."""
    return table(
        "What our last probes find wrong",
        "Faults in the last probes of DNS records, MTA-STS policy and servers, first those for which mail is refused "
        "or sent in plaintext. No severity: it needs no attention, or not yet, as alerts wait for a second probe. "
        "Certificate-due: it expires sooner than the domain's threshold (thresholds.certificate_expiry). Failed: "
        "probes of the last two days, of those that could see it. Empty too when probes are off.",
        rows(
            f"""
            SELECT
                if(judged_by = 'any', severity, '') AS "Severity",
                multiIf(
                    subject = '', if(seen_in = 'dns', 'record mx', 'MTA-STS policy'),
                    seen_in = 'dns', concat('record ', subject), subject
                ) AS "What",
                arrayStringConcat(faults, ', ') AS "Fault",
                detail AS "In words",
                concat(toString(failed), ' of ', toString(made)) AS "Failed",
                last_probed_at AS "Probed"
            FROM outside_findings_at(end = {END})
            WHERE {DOMAINS}
            ORDER BY indexOf(['info', 'warning', 'critical'], "Severity") DESC, "What"
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
