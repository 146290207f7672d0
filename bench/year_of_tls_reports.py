"""A made-up year of reports, filled in inside ClickHouse: many domains, a dozen senders, three policies
a report; failures in one report of two hundred, and in every fifth of one domain in twenty,
where some lose STARTTLS, and one sender has stopped applying the policy in the last three days.

Months arrive day by day; the newest days in many small inserts, one of them twice, so that FINAL has something to
merge, as in life. Months that are over are merged, as the tables' settings let ClickHouse do within a day.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clickhouse_connect.driver import Client

DAYS = 365
TODAY = datetime.now(UTC).date()
_MADE_DAYS = 30
_LIVE_DAYS = 3
_LIVE_INSERTS = 12
_SENDERS = [f"Sender {number} Incorporated" for number in range(12)]
_POLICIES = 3

_FILL_POLICIES = """
INSERT INTO mailposture_tables.tls_policies
    (policy_domain, day, report_key, policy_index, reported_policy_domain, reporter, reporter_proven, organization,
     policy_type, sts_mode, policy_strings, mx_hosts, successful_sessions, failed_sessions, counts,
     trust, version)
SELECT
    concat('domain', toString(domain), '.example') AS policy_domain,
    {day:Date} AS day,
    cityHash64({day:Date}, domain, sender, round) AS report_key,
    policy AS policy_index,
    if(policy = 1, concat('mx1.', policy_domain), policy_domain) AS reported_policy_domain,
    concat('sender', toString(sender), '.example') AS reporter,
    true AS reporter_proven,
    arrayElement({senders:Array(String)}, sender + 1) AS organization,
    if(stopped, 'no-policy-found', ['sts', 'tlsa', 'no-policy-found'][policy + 1]) AS policy_type,
    if(policy_type = 'sts', if(domain % 3 = 0, 'testing', 'enforce'), '') AS sts_mode,
    if(policy = 0, ['version: STSv1', concat('mode: ', sts_mode), concat('mx: mx1.', policy_domain)], [])
        AS policy_strings,
    if(policy = 0, [concat('mx1.', policy_domain), concat('mx2.', policy_domain)], []) AS mx_hosts,
    toUInt64(exp(randExponential(0.5, number))) % 5000 AS successful_sessions,
    if(report_key % if(domain % 20 = 0, 5, 200) = 0, 1 + report_key % 7, 0) AS failed_sessions,
    policy != 1 AS counts,
    'dkim' AS trust,
    3 AS version
FROM
(
    SELECT
        number,
        number % {policies:UInt8} AS policy,
        intDiv(number, {policies:UInt8}) % {domains:UInt32} AS domain,
        intDiv(number, {domains:UInt32} * {policies:UInt8}) % length({senders:Array(String)}) AS sender,
        intDiv(number, {domains:UInt32} * {policies:UInt8} * length({senders:Array(String)})) AS round,
        domain % 20 = 0 AND sender = domain % 7 AND {day:Date} >= {today:Date} - 3 AS stopped
    FROM numbers({first:UInt64}, {count:UInt64})
)
"""

_FILL_FAILURES = """
INSERT INTO mailposture_tables.tls_failures
    (policy_domain, day, report_key, policy_index, failure_index, reporter, reporter_proven, organization, policy_type,
     sts_mode, result_type,
     category, severity, sending_mta_ip, receiving_mx, receiving_ip, reason_code, failed_sessions, counts, trust,
     version)
SELECT
    policy_domain, day, report_key, policy_index, 0, reporter, reporter_proven, organization, policy_type, sts_mode,
    ['certificate-expired', 'certificate-host-mismatch', 'validation-failure', 'sts-policy-fetch-error', 'tlsa-invalid',
     'starttls-not-supported'][if(cause < 95 OR NOT troubled, 1 + cause % 5, 6)] AS result_type,
    ['certificate', 'certificate', 'timeout', 'mta-sts-policy', 'dane', 'starttls-not-supported']
        [if(cause < 95 OR NOT troubled, 1 + cause % 5, 6)] AS category,
    'critical',
    toIPv6(IPv4NumToString(toUInt32(3221225984 + cityHash64(organization) % 200))),
    concat('mx', toString(1 + report_key % 2), '.', policy_domain),
    toIPv6(IPv4NumToString(toUInt32(3325256704 + cityHash64(policy_domain) % 60000))),
    '', failed_sessions, counts, trust, version
FROM
(
    SELECT *, cityHash64(report_key) % 100 AS cause, toUInt32(extract(policy_domain, '[0-9]+')) % 20 = 0 AS troubled
    FROM mailposture_tables.tls_policies FINAL
)
WHERE failed_sessions > 0 AND day = {day:Date}
"""

_FILL_REPORTS = """
INSERT INTO mailposture_tables.tls_reports
    (day, report_key, reporter, reporter_proven, organization,
     contact, report_id, period_start, period_end, received_at, source, name, peer,
     trust, dkim_domain, policy_domains, successful_sessions, failed_sessions, original, version)
SELECT
    day, report_key, any(reporter), any(reporter_proven), any(organization),
    'tls@sender.example', toString(report_key), toDateTime(day, 'UTC'),
    toDateTime(day + 1, 'UTC'), toDateTime64(day + 1, 3, 'UTC') + toIntervalSecond(report_key % 40000), 'smtp',
    hex(report_key), '192.0.2.1', 'dkim', 'sender.example', [any(policy_domain)], sum(successful_sessions),
    sum(failed_sessions), '{}', 3
FROM mailposture_tables.tls_policies FINAL
WHERE day = {day:Date} AND counts
GROUP BY day, report_key
"""


# A later month repeats the first one with other reports; that is quicker than making each row.
_COPY = {
    "tls_policies": "version AS version",
    "tls_failures": "version AS version",
    "tls_reports": "toDateTime({day:Date}, 'UTC') AS period_start, period_start + 86400 AS period_end,"
    " toDateTime64(period_end + report_key % 40000, 3, 'UTC') AS received_at",
}


def fill(client: Client, *, rows: int, domains: int) -> None:
    """Fill tls_policies with about `rows` rows over the year before today, and failures and reports to match."""
    per_day = rows // DAYS
    for number in range(DAYS):
        day = TODAY - timedelta(days=DAYS - number)
        if _MADE_DAYS <= number < DAYS - _LIVE_DAYS:
            source = day - timedelta(days=number - number % _MADE_DAYS)
            for table, changes in _COPY.items():
                client.command(
                    f"INSERT INTO mailposture_tables.{table} SELECT * REPLACE ("
                    f"{{day:Date}} AS day, cityHash64(report_key, {{day:Date}}) AS report_key, {changes})"
                    f" FROM mailposture_tables.{table} AS made WHERE made.day = {{source:Date}}",
                    parameters={"day": day, "source": source},
                )
        else:
            inserts = _LIVE_INSERTS if number >= DAYS - _LIVE_DAYS else 1
            _make(client, day=day, domains=domains, first=number * per_day, count=per_day, inserts=inserts)
        if (day + timedelta(days=1)).day == 1:
            for table in _COPY:
                client.command(f"OPTIMIZE TABLE mailposture_tables.{table} PARTITION {day:%Y%m} FINAL")


def _make(client: Client, *, day: date, domains: int, first: int, count: int, inserts: int) -> None:
    """Insert the rows of a day, in as many inserts; where these are several, the first comes twice."""
    share = count // inserts
    starts = [first + share * number for number in range(inserts)]
    for start in starts if inserts == 1 else [*starts, first]:
        parameters = {
            "day": day,
            "today": TODAY,
            "domains": domains,
            "senders": _SENDERS,
            "policies": _POLICIES,
            "first": start,
            "count": share,
        }
        client.command(_FILL_POLICIES, parameters=parameters)
    for statement in (_FILL_FAILURES, _FILL_REPORTS):
        client.command(statement, parameters={"day": day})
