"""What our probes see of MTA-STS policies and their records, and in one line how servers and certificates are.

History comes from ClickHouse, so that it is there without Prometheus; how things are right now comes from the
exporter's metrics, so that it is there without history.
"""

from __future__ import annotations

from typing import Final

from dashboards.builders.common import look
from dashboards.builders.common.grafana import fixed, matching, metric, rows, steps, words
from dashboards.builders.common.panels import UNKNOWN, Column, stat, states, table
from dashboards.builders.common.scope import IN_RANGE
from dashboards.builders.common.variables import DOMAINS, THIS_DOMAIN, link
from dashboards.builders.tls import last_probes
from dashboards.builders.tls.beside_probes import STATE_NUMBER_WORDS, states_by_day
from dashboards.builders.tls.last_probes import reason_column, verdict_column
from dashboards.builders.tls.probe_faults import BLOCKED

_TO_DOMAIN = link("Open ${__value.text}", "mailposture-domain", domain=THIS_DOMAIN)
_NO_POLICY: Final = "No policy was probed in this time range: these domains have none, or probes are off."
_FAULTS: Final = steps((None, look.GOOD), (1, look.BAD))


def _verdict(column: str) -> str:
    """SQL: yes, no, or unknown for a column that may be NULL."""
    return f"multiIf({column} IS NULL, 'unknown', {column}, 'yes', 'no')"


ANSWER = (
    stat(
        "Servers right now",
        "Receiving servers that the exporter's probes find at fault at this moment, from its metrics. Probes are off: "
        "probes.enabled is false, or Prometheus does not scrape the exporter. Port 25 closed: no server can be reached "
        "from where the exporter runs, as in most clouds, which says nothing about the servers.",
        metric(
            '(-1 * (max(mx_outbound_port_25_blocked) == 1)) or sum(1 - mx_server_success{policy_domain=~"$domain"})',
            legend="servers at fault",
            now=True,
        ),
        width=6,
        unit="suffix:servers at fault",
        decimals=0,
        thresholds=_FAULTS,
        mappings=(
            words(
                {
                    "-1": ("Port 25 closed here", UNKNOWN),
                    "0": ("All good", look.GOOD),
                    "1": ("1 server at fault", look.BAD),
                }
            ),
        ),
        nothing="Probes are off",
        text_size=26,
    ),
    stat(
        "Servers, last probes",
        "Receiving servers at fault in their last probe of the time range, from the history. No probes: they are off, "
        "or outbound port 25 is blocked.",
        rows(
            f"""
            SELECT
                if(countIf(last_reason != '{BLOCKED}') = 0, NULL,
                    uniqExactIf((policy_domain, receiving_mx), last_reason NOT IN ('', '{BLOCKED}'))) AS servers
            FROM ({last_probes.SERVERS})"""
        ),
        width=6,
        unit="suffix:servers at fault",
        decimals=0,
        thresholds=_FAULTS,
        mappings=(words({"0": ("All good", look.GOOD), "1": ("1 server at fault", look.BAD)}),),
        nothing="No probes",
        text_size=26,
    ),
    stat(
        "Policies, last probes",
        "Domains whose MTA-STS policy could not be fetched, or did not agree with its record, the MX records or the "
        "configuration, in the last probe of the time range.",
        rows(f"SELECT if(count() = 0, NULL, countIf(last_reason != '')) AS policies FROM ({last_probes.POLICIES})"),
        width=6,
        unit="suffix:policies at fault",
        decimals=0,
        thresholds=_FAULTS,
        mappings=(words({"0": ("All agree", look.GOOD), "1": ("1 policy at fault", look.BAD)}),),
        nothing="No policy probes",
        text_size=26,
    ),
    stat(
        "Certificates to renew",
        "Receiving servers whose certificate, as probes saw it last, has expired or expires sooner than its domain's "
        "threshold (thresholds.certificate_expiry): alert MxCertificateExpiring fires for these.",
        rows(
            f"""
            SELECT multiIf(
                days IS NULL, NULL,
                expired > 0, concat(toString(expired), ' expired'),
                due > 0, concat(toString(due), ' to renew, ', toString(days), ' days left'),
                concat('none, next in ', toString(days), ' days')) AS answer
            FROM (
                SELECT
                    min({last_probes.DAYS_LEFT}) AS days,
                    uniqExactIf(receiving_mx, renewal = 'expired') AS expired,
                    uniqExactIf(receiving_mx, renewal = 'due') AS due
                FROM (SELECT *, {last_probes.RENEWAL} AS renewal FROM ({last_probes.SERVERS}))
            )"""
        ),
        width=6,
        unit="string",
        mappings=(
            matching("none.*", color=look.GOOD),
            matching(".*expired", color=look.BAD),
            matching(".*to renew.*", color="orange"),
        ),
        numbers=False,
        nothing="No probes",
        text_size=26,
    ),
)

POLICIES = (
    table(
        "Policy and record, as senders get them",
        "The last probe of each domain's MTA-STS policy: whether it can be fetched, is the one that the configuration "
        "says, and allows every MX; and whether the id in the record is the one of the configured policy. Domains "
        "without a policy are left out.",
        rows(
            f"""
            SELECT
                policy_domain AS "Domain",
                last_reason AS "Fetched",
                sts_mode AS "Served",
                hosted_sts_mode AS "Configured",
                {_verdict("policy_agrees")} AS "As configured",
                {_verdict("record_agrees")} AS "Record id agrees",
                {_verdict("mx_covered")} AS "Allows every MX",
                nullIf(sts_max_age, 0) AS "Kept for",
                last_probed_at AS "Probed",
                {last_probes.FAULT_IN_WORDS} AS "In words"
            FROM ({last_probes.POLICIES}) AS policies
            LEFT JOIN domains USING (policy_domain)
            ORDER BY last_reason = '', policy_domain
            LIMIT 500"""
        ),
        columns=(
            Column(name="Domain", room=150, links=(_TO_DOMAIN,)),
            reason_column("Fetched", width=130),
            Column(name="Served", width=90, cell=look.COLORED_TEXT, mappings=(look.MODE_WORDS,)),
            Column(name="Configured", width=95, cell=look.COLORED_TEXT, mappings=(look.MODE_WORDS,)),
            verdict_column("As configured", width=115),
            verdict_column("Record id agrees", width=130),
            verdict_column("Allows every MX", width=130),
            Column(name="Kept for", unit="s", width=100),
            Column(name="Probed", unit="dateTimeFromNow", width=125),
            Column(name="In words", wrap=True),
        ),
        width=24,
        height=8,
        nothing=_NO_POLICY,
    ),
    states(
        "Fetching the policy",
        "How the probes of each domain's MTA-STS policy went, day by day: fetched, and in agreement with record, MX "
        "and configuration. If there are more than twelve domains, those with most faults. Empty when probes are off.",
        states_by_day("policy_domain", probe="mta-sts", domains=DOMAINS, most=12),
        width=8,
        height=9,
        mappings=(STATE_NUMBER_WORDS,),
        nothing=_NO_POLICY,
    ),
    table(
        "What probes found wrong",
        "Each fault that probes of DNS records, policies and servers found in the time range, the latest first. "
        "Failed: how many probes did.",
        rows(
            f"""
            SELECT
                policy_domain AS "Domain",
                multiIf(probe = 'mx', receiving_mx, probe = 'dns', concat('record ', record), 'policy') AS "What",
                reason AS "Fault",
                min(day) AS "First day",
                max(day) AS "Last day",
                sum(probes - successes) AS "Failed",
                argMaxIf(last_detail, last_probed_at, last_reason = reason) AS "In words"
            FROM probe_results_daily
            WHERE {IN_RANGE} AND {DOMAINS} AND reason != '' AND policy_domain IN (
                SELECT policy_domain FROM probe_results_daily WHERE {IN_RANGE} AND {DOMAINS} AND probes > successes
            )
            GROUP BY policy_domain, "What", reason
            ORDER BY "Last day" DESC, "Failed" DESC
            LIMIT 200"""
        ),
        columns=(
            Column(name="Domain", width=120, links=(_TO_DOMAIN,)),
            Column(name="What", width=170),
            Column(name="Fault", width=190, cell=look.COLORED_TEXT, color=fixed(look.BAD)),
            look.day("First day"),
            look.day("Last day"),
            look.count("Failed", width=65),
            Column(name="In words", wrap=True, room=280),
        ),
        width=16,
        height=9,
        nothing="Probes found nothing wrong in this time range, or were off.",
    ),
)
