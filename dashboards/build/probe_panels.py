"""What our probes see: the MTA-STS policy and its record, each receiving server, and when certificates expire.

History comes from ClickHouse, so that it is there without Prometheus; how things are right now comes from the
exporter's metrics, so that it is there without history.
"""

from __future__ import annotations

from typing import Final

from dashboards.build import look
from dashboards.build.beside_probes import NO_PROBES, STATE_NUMBER, STATE_NUMBER_WORDS, UNSEEN_COLOR, servers_over_time
from dashboards.build.grafana import fixed, metric, rows, series, steps, words
from dashboards.build.panels import Column, graph, stat, states, table
from dashboards.build.questions import IN_RANGE
from dashboards.build.variables import DOMAINS, THIS_DOMAIN, link

_TO_DOMAIN = link("Open ${__value.text}", "mailposture-domain", domain=THIS_DOMAIN)
_BLOCKED: Final = "outbound-port-25-blocked"
_WARN_DAYS: Final = 14  # thresholds.certificate_expiry, unless a domain says otherwise
_EXPIRY: Final = steps((None, look.BAD), (7, "orange"), (_WARN_DAYS, look.GOOD))
_FAULTS: Final = steps((None, UNSEEN_COLOR), (0, look.GOOD), (1, look.BAD))  # nothing seen is not good
_FAULT_IN_WORDS: Final = "if(last_reason = '', '', last_detail)"

# The last day with a probe, of each server and of each policy. A server that probes no longer meet is gone.
_SERVERS: Final = f"""
    SELECT *
    FROM (
        SELECT *, max(day) OVER (PARTITION BY policy_domain) AS newest
        FROM probe_results_daily
        WHERE {IN_RANGE} AND {DOMAINS} AND probe = 'mx'
    )
    WHERE day >= newest - 1
    ORDER BY day DESC
    LIMIT 1 BY policy_domain, receiving_mx, receiving_ip"""
_POLICIES: Final = f"""
    SELECT *
    FROM probe_results_daily
    WHERE {IN_RANGE} AND {DOMAINS} AND probe = 'mta-sts'
    ORDER BY day DESC
    LIMIT 1 BY policy_domain"""
_DAYS_LEFT: Final = "dateDiff('hour', now(), certificate_not_after) / 24"


def _covers(patterns: str, host: str) -> str:
    """SQL: one of the names is the host's, where `*.` stands for one label (RFC 8461, section 4.1; RFC 6125)."""
    one_label = f"startsWith(name, '*.') AND substring(name, 2) = substring({host}, position({host}, '.'))"
    return f"arrayExists(name -> name = {host} OR ({one_label}), arrayMap(name -> lower(name), {patterns}))"


def _verdict(column: str) -> str:
    """SQL: yes, no, or unknown for a column that may be NULL."""
    return f"multiIf({column} IS NULL, 'unknown', {column}, 'yes', 'no')"


_YES_NO: Final = words({"yes": ("yes", look.GOOD), "no": ("no", look.BAD), "unknown": ("-", UNSEEN_COLOR)})
_REASONS: Final = words(
    {"": ("good", look.GOOD), "good": ("good", look.GOOD), _BLOCKED: ("port 25 closed here", UNSEEN_COLOR)}
)
_STARTTLS: Final = words(
    {
        "offered": ("offered", look.GOOD),
        "sometimes": ("at times", "orange"),
        "missing": ("not offered", look.BAD),
        "unknown": ("-", UNSEEN_COLOR),
    }
)
_CHAIN: Final = words({"trusted": ("trusted", look.GOOD), "unknown": ("-", UNSEEN_COLOR)})
_DANE: Final = words(
    {
        "match": ("match", look.GOOD),
        "match-unsigned": ("match, no DNSSEC", "orange"),
        "mismatch": ("mismatch", look.BAD),
        "absent": ("no TLSA", UNSEEN_COLOR),
        "": ("-", UNSEEN_COLOR),
        "no-certificate": ("-", UNSEEN_COLOR),
    }
)


def _verdict_column(name: str, *, width: int) -> Column:
    return Column(name=name, width=width, cell=look.COLORED_TEXT, mappings=(_YES_NO,))


def _reason_column(name: str, *, width: int) -> Column:
    """Good, or the reason in red."""
    return Column(name=name, width=width, cell=look.COLORED_TEXT, color=fixed(look.BAD), mappings=(_REASONS,))


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
        unit="suffix: servers at fault",
        decimals=0,
        thresholds=_FAULTS,
        mappings=(
            words(
                {
                    "-1": ("Port 25 closed here", UNSEEN_COLOR),
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
        "or none of them got out by port 25.",
        rows(
            f"""
            SELECT
                if(countIf(last_reason != '{_BLOCKED}') = 0, NULL,
                    uniqExactIf((policy_domain, receiving_mx), last_reason NOT IN ('', '{_BLOCKED}'))) AS servers
            FROM ({_SERVERS})"""
        ),
        width=6,
        unit="suffix: servers at fault",
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
        rows(f"SELECT if(count() = 0, NULL, countIf(last_reason != '')) AS policies FROM ({_POLICIES})"),
        width=6,
        unit="suffix: policies at fault",
        decimals=0,
        thresholds=_FAULTS,
        mappings=(words({"0": ("All agree", look.GOOD), "1": ("1 policy at fault", look.BAD)}),),
        nothing="No probes",
        text_size=26,
    ),
    stat(
        "Next certificate to expire",
        "Days until the first certificate of a receiving server expires, as probes saw it last.",
        rows(f"SELECT min({_DAYS_LEFT}) AS days FROM ({_SERVERS})"),
        width=6,
        unit="suffix: days left",
        decimals=0,
        thresholds=_EXPIRY,
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
                {_FAULT_IN_WORDS} AS "In words"
            FROM ({_POLICIES}) AS policies
            LEFT JOIN domains USING (policy_domain)
            ORDER BY last_reason = '', policy_domain
            LIMIT 500"""
        ),
        columns=(
            Column(name="Domain", width=150, links=(_TO_DOMAIN,)),
            _reason_column("Fetched", width=130),
            Column(name="Served", width=90, cell=look.COLORED_TEXT, mappings=(look.MODE_WORDS,)),
            Column(name="Configured", width=95, cell=look.COLORED_TEXT, mappings=(look.MODE_WORDS,)),
            _verdict_column("As configured", width=115),
            _verdict_column("Record id agrees", width=130),
            _verdict_column("Allows every MX", width=130),
            Column(name="Kept for", unit="s", width=100),
            Column(name="Probed", unit="dateTimeFromNow", width=125),
            Column(name="In words", wrap=True),
        ),
        width=24,
        height=8,
        nothing=NO_PROBES,
    ),
    states(
        "Fetching the policy",
        "How the probes of each domain's MTA-STS policy went, day by day: fetched, and in agreement with record, MX "
        "and configuration. Empty when probes are off.",
        series(
            f"""
            SELECT day AS time, policy_domain, {STATE_NUMBER} AS Value
            FROM probe_results_daily
            WHERE {IN_RANGE} AND {DOMAINS} AND probe = 'mta-sts'
            GROUP BY time, policy_domain
            ORDER BY time, policy_domain"""
        ),
        width=8,
        height=9,
        mappings=(STATE_NUMBER_WORDS,),
        nothing=NO_PROBES,
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
            WHERE {IN_RANGE} AND {DOMAINS} AND reason != ''
            GROUP BY policy_domain, "What", reason
            ORDER BY "Last day" DESC, "Failed" DESC
            LIMIT 200"""
        ),
        columns=(
            Column(name="Domain", width=120, links=(_TO_DOMAIN,)),
            Column(name="What", width=160),
            Column(name="Fault", width=190, cell=look.COLORED_TEXT, color=fixed(look.BAD)),
            look.day("First day"),
            look.day("Last day"),
            look.count("Failed", width=65),
            Column(name="In words", wrap=True),
        ),
        width=16,
        height=9,
        nothing="Probes found nothing wrong in this time range, or were off.",
    ),
)

SERVERS = (
    table(
        "Every receiving server, as senders meet it",
        "What probes saw at each address of each MX host on their last day: STARTTLS, whether the chain of the "
        "certificate is trusted and names the host, the days until it expires, the TLS version, whether the policy "
        "that senders fetch allows the host, and whether TLSA records (DANE) match. Faults first, then by expiry.",
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
                {_DAYS_LEFT} AS "Days left",
                arrayStringConcat(arraySort(tls_versions), ', ') AS "TLS",
                multiIf(served.sts_mode IN ('', 'none'), 'unknown',
                    {_covers("served.sts_mx_hosts", "receiving_mx")}, 'yes', 'no') AS "In policy",
                tlsa AS "DANE",
                last_probed_at AS "Probed",
                {_FAULT_IN_WORDS} AS "In words"
            FROM ({_SERVERS}) AS servers
            LEFT JOIN (SELECT policy_domain, sts_mode, sts_mx_hosts FROM ({_POLICIES})) AS served USING (policy_domain)
            ORDER BY last_reason IN ('', '{_BLOCKED}'), certificate_not_after, receiving_mx
            LIMIT 1000"""
        ),
        columns=(
            Column(name="Domain", width=125, links=(_TO_DOMAIN,)),
            Column(name="Server", width=170),
            Column(name="Address", width=115),
            _reason_column("Last probe", width=150),
            Column(name="STARTTLS", width=90, cell=look.COLORED_TEXT, mappings=(_STARTTLS,)),
            Column(name="Chain", width=90, cell=look.COLORED_TEXT, color=fixed(look.BAD), mappings=(_CHAIN,)),
            _verdict_column("Names host", width=100),
            Column(
                name="Days left",
                unit="locale",
                decimals=0,
                width=85,
                cell=look.COLORED_TEXT,
                color={"mode": "thresholds"},
                thresholds=_EXPIRY,
            ),
            Column(name="TLS", width=80),
            _verdict_column("In policy", width=85),
            Column(name="DANE", width=110, cell=look.COLORED_TEXT, color=fixed("orange"), mappings=(_DANE,)),
            Column(name="Probed", unit="dateTimeFromNow", width=125),
            Column(name="In words", wrap=True),
        ),
        width=24,
        height=15,
        nothing=NO_PROBES,
    ),
    servers_over_time(DOMAINS, width=13, height=14),
    table(
        "Days to certificate expiry",
        "Certificates of our receiving servers as probes saw them last, the first to expire on top. Below "
        f"{_WARN_DAYS} days something that should renew it has not.",
        rows(
            f"""
            SELECT
                receiving_mx AS "Server",
                policy_domain AS "Domain",
                min({_DAYS_LEFT}) AS "Days left",
                min(toDate(certificate_not_after)) AS "Expires"
            FROM ({_SERVERS})
            WHERE certificate_not_after IS NOT NULL
            GROUP BY receiving_mx, policy_domain
            ORDER BY "Days left"
            LIMIT 500"""
        ),
        columns=(
            Column(name="Server", width=180),
            Column(name="Domain", width=130, links=(_TO_DOMAIN,)),
            Column(
                name="Days left",
                unit="locale",
                decimals=0,
                cell=look.BAR,
                color={"mode": "thresholds"},
                thresholds=_EXPIRY,
                minimum=0,
                maximum=90,
            ),
            look.day("Expires"),
        ),
        width=11,
        height=14,
        nothing=NO_PROBES,
    ),
    graph(
        "Days to certificate expiry, over time",
        "Of the ten servers whose certificates come closest to their end in the time range. A line that falls without "
        "jumping up again is a renewal that does not work.",
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
        unit="suffix: days",
        decimals=0,
        soft_minimum=0,
        legend="right",
        totals=("min", "lastNotNull"),
        nothing=NO_PROBES,
    ),
)
