"""What our probes see of each receiving server: STARTTLS, certificates, and when these expire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.builders.common import look
from dashboards.builders.common.grafana import fixed, rows, series, words
from dashboards.builders.common.panels import UNKNOWN, Column, graph, table
from dashboards.builders.common.scope import IN_RANGE
from dashboards.builders.common.variables import DOMAINS, THIS_DOMAIN, link
from dashboards.builders.tls import last_probes
from dashboards.builders.tls.beside_probes import NO_PROBES, servers_over_time
from dashboards.builders.tls.last_probes import reason_column, verdict_column
from dashboards.builders.tls.probe_faults import BLOCKED

if TYPE_CHECKING:
    from dashboards.builders.common.grafana import Panel

_TO_DOMAIN = link("Open ${__value.text}", "mailposture-domain", domain=THIS_DOMAIN)


def _covers(patterns: str, host: str) -> str:
    """SQL: one of the names is the host's, where `*.` stands for one label (RFC 8461, section 4.1; RFC 6125)."""
    one_label = f"startsWith(name, '*.') AND substring(name, 2) = substring({host}, position({host}, '.'))"
    return f"arrayExists(name -> name = {host} OR ({one_label}), arrayMap(name -> lower(name), {patterns}))"


_STARTTLS: Final = words(
    {
        "offered": ("offered", look.GOOD),
        "sometimes": ("at times", "orange"),
        "missing": ("not offered", look.BAD),
        "unknown": ("-", UNKNOWN),
    }
)
_CHAIN: Final = words({"trusted": ("trusted", look.GOOD), "unknown": ("-", UNKNOWN)})
_DANE: Final = words(
    {
        "match": ("match", look.GOOD),
        "match-unsigned": ("match, no DNSSEC", "orange"),
        "mismatch": ("mismatch", look.BAD),
        "absent": ("no TLSA", UNKNOWN),
        "": ("-", UNKNOWN),
        "no-certificate": ("-", UNKNOWN),
    }
)
_RENEWAL: Final = words(
    {
        "expired": ("expired", look.BAD),
        "due": ("to renew", "orange"),
        "later": ("not due", look.GOOD),
        "unknown": ("-", UNKNOWN),
    }
)


_DOMAIN: Final = Column(name="Domain", width=125, links=(_TO_DOMAIN,))


def certificates(*, width: int, height: int, domain: Column = _DOMAIN) -> Panel:
    """Which certificates must be renewed, and when: what alert MxCertificateExpiring is about."""
    return table(
        "Days to certificate expiry",
        "Certificates of our receiving servers as probes saw them last, the first to expire on top. To renew: it "
        "expires sooner than the domain's threshold (thresholds.certificate_expiry), so automatic renewal has failed; "
        "alert MxCertificateExpiring fires from the day under Alert from.",
        rows(
            f"""
            SELECT
                receiving_mx AS "Server",
                {last_probes.RENEWAL} AS "Renewal",
                {last_probes.DAYS_LEFT} AS "Days left",
                toDate(certificate_not_after) AS "Expires",
                toDate(certificate_not_after - toIntervalSecond(certificate_expiry_seconds)) AS "Alert from",
                policy_domain AS "Domain"
            FROM ({last_probes.SERVERS})
            WHERE certificate_not_after IS NOT NULL
            ORDER BY certificate_not_after, receiving_mx
            LIMIT 1 BY receiving_mx, policy_domain
            LIMIT 500"""
        ),
        columns=(
            Column(name="Server", room=180),
            Column(name="Renewal", width=90, cell=look.COLORED_TEXT, mappings=(_RENEWAL,)),
            look.count("Days left", width=80),
            look.day("Expires"),
            look.day("Alert from"),
            domain,
        ),
        width=width,
        height=height,
        nothing=NO_PROBES,
    )


PANELS = (
    table(
        "Every receiving server, as senders meet it",
        "What probes saw at each address of each MX host on their last day: STARTTLS, whether the chain of the "
        "certificate is trusted and names the host, the days until it expires and whether it must be renewed now "
        "(thresholds.certificate_expiry of the domain), the TLS version, whether the policy that senders fetch allows "
        "the host, and whether TLSA records (DANE) match. Faults first, then by expiry.",
        rows(
            f"""
            SELECT
                policy_domain AS "Domain",
                receiving_mx AS "Server",
                receiving_ip AS "Address",
                last_reason AS "Last probe",
                multiIf(probes_with_starttls + probes_without_starttls = 0, 'unknown', probes_without_starttls = 0,
                    'offered', probes_with_starttls = 0, 'missing', 'sometimes') AS "STARTTLS",
                multiIf(last_reason LIKE 'certificate-%' AND last_reason != 'certificate-host-mismatch',
                    replaceOne(last_reason, 'certificate-', ''),
                    certificate_not_after IS NULL, 'unknown', 'trusted') AS "Chain",
                multiIf(empty(certificate_names), 'unknown',
                    {_covers("certificate_names", "receiving_mx")}, 'yes', 'no')
                    AS "Names host",
                {last_probes.RENEWAL} AS "Renewal",
                {last_probes.DAYS_LEFT} AS "Days left",
                arrayStringConcat(arraySort(tls_versions), ', ') AS "TLS",
                multiIf(served.sts_mode IN ('', 'none'), 'unknown',
                    {_covers("served.sts_mx_hosts", "receiving_mx")}, 'yes', 'no') AS "In policy",
                tlsa AS "DANE",
                {last_probes.FAULT_IN_WORDS} AS "In words",
                last_probed_at AS "Probed"
            FROM ({last_probes.SERVERS}) AS servers
            LEFT JOIN (SELECT policy_domain, sts_mode, sts_mx_hosts FROM ({last_probes.POLICIES})) AS served
                USING (policy_domain)
            ORDER BY last_reason IN ('', '{BLOCKED}'), certificate_not_after, receiving_mx
            LIMIT 1000"""
        ),
        columns=(
            _DOMAIN,
            Column(name="Server", width=190),
            Column(name="Address", width=115),
            reason_column("Last probe", width=135),
            Column(name="STARTTLS", width=85, cell=look.COLORED_TEXT, mappings=(_STARTTLS,)),
            Column(name="Chain", width=85, cell=look.COLORED_TEXT, color=fixed(look.BAD), mappings=(_CHAIN,)),
            verdict_column("Names host", width=100),
            look.count("Days left", width=75),
            Column(name="Renewal", width=85, cell=look.COLORED_TEXT, mappings=(_RENEWAL,)),
            Column(name="TLS", width=75),
            verdict_column("In policy", width=80),
            Column(name="DANE", width=110, cell=look.COLORED_TEXT, color=fixed("orange"), mappings=(_DANE,)),
            Column(name="In words", wrap=True, room=150),
            Column(name="Probed", unit="dateTimeFromNow", width=110),
        ),
        width=24,
        height=15,
        nothing=NO_PROBES,
    ),
    servers_over_time(DOMAINS, width=12, height=14),
    certificates(width=12, height=14),
    graph(
        "Days to certificate expiry, over time",
        "Of the ten servers whose certificates come closest to expiry in the time range. A line that falls without "
        "jumping up again means that renewal does not work.",
        series(
            f"""
            SELECT day AS time, receiving_mx, dateDiff('day', day, toDate(min(certificate_not_after))) AS Value
            FROM probe_results_daily
            WHERE {IN_RANGE} AND {DOMAINS} AND probe = 'mx' AND certificate_not_after IS NOT NULL AND receiving_mx IN (
                SELECT receiving_mx
                FROM probe_results_daily
                WHERE {IN_RANGE} AND {DOMAINS} AND probe = 'mx' AND certificate_not_after IS NOT NULL
                GROUP BY receiving_mx
                ORDER BY min(dateDiff('day', day, toDate(certificate_not_after)))
                LIMIT 10
            )
            GROUP BY time, receiving_mx
            ORDER BY time, receiving_mx"""
        ),
        width=24,
        height=9,
        unit="suffix:days",
        decimals=0,
        soft_minimum=0,
        legend="right",
        totals=("min", "lastNotNull"),
        nothing=NO_PROBES,
    ),
)
