"""A made-up year of DMARC reports, filled in inside ClickHouse: ten reporters about every domain in turn, in reports of
four records: our own server, a service that signs as us, what a forwarder passed on, and a forgery of some network.

Days arrive one by one; the newest in many small inserts, one of them twice, so that FINAL has something to merge, as in
life. Months that are over are merged, as the tables' settings let ClickHouse do within a day.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from bench.year_of_tls_reports import DAYS, TODAY

if TYPE_CHECKING:
    from datetime import date

    from clickhouse_connect.driver import Client

RECORDS = 4  # of a report
_REPORTERS = 10
_LIVE_DAYS = 3
_LIVE_INSERTS = 12

_FILL_RECORDS = """
INSERT INTO mailposture_tables.dmarc_records
    (policy_domain, day, report_key, record_index, reporter, reporter_proven, organization, header_from, envelope_from,
     source_ip, messages, passed, dkim_aligned, spf_aligned, evaluated, disposition, published_policy, published_domain,
     reasons, comments, dkim_domains, dkim_selectors, dkim_results, dkim_details, spf_domains, spf_scopes, spf_results,
     spf_details, trust, version)
SELECT
    concat('domain', toString(domain), '.example') AS policy_domain,
    {day:Date} AS day,
    cityHash64({day:Date}, report) AS report_key,
    record AS record_index,
    concat('receiver', toString(reporter_number), '.example') AS reporter,
    true AS reporter_proven,
    concat('Receiver ', toString(reporter_number)) AS organization,
    policy_domain AS header_from,
    [policy_domain, 'bounces.sendgrid.net', 'forwarder.example', 'forged.example'][record + 1] AS envelope_from,
    toIPv6(IPv4NumToString(toUInt32(
        3221225984 + [domain, 100000 + chance % 50, 200000 + chance % 5000, 1000000 + chance % 1000000][record + 1]
    ))) AS source_ip,
    1 + toUInt64(exp(randExponential(0.5, number))) % 5000 AS messages,
    record < 3 AS passed,
    record < 3 AS dkim_aligned,
    record = 0 AS spf_aligned,
    true AS evaluated,
    if(record = 3, published_policy, 'none') AS disposition,
    ['none', 'quarantine', 'reject'][1 + domain % 3] AS published_policy,
    policy_domain AS published_domain,
    [], [],
    if(record = 3, [], [policy_domain]) AS dkim_domains,
    if(record = 3, [], [concat('s', toString(record))]) AS dkim_selectors,
    if(record = 3, [], ['pass']) AS dkim_results,
    if(record = 3, [], ['']) AS dkim_details,
    [envelope_from] AS spf_domains, ['mfrom'] AS spf_scopes, [if(record < 2, 'pass', 'fail')] AS spf_results,
    [''] AS spf_details,
    'dkim' AS trust,
    5 AS version
FROM
(
    SELECT
        number,
        number % {records:UInt32} AS record,
        intDiv(number, {records:UInt32}) AS report,
        report % {domains:UInt32} AS domain,
        intDiv(report, {domains:UInt32}) % {reporters:UInt32} AS reporter_number,
        cityHash64(number, {day:Date}) AS chance
    FROM numbers({first:UInt64}, {count:UInt64})
)
"""

_FILL_REPORTS = """
INSERT INTO mailposture_tables.dmarc_reports
    (day, report_key, reporter, reporter_proven, organization, contact, report_id, period_start, period_end,
     received_at, source, name, trust, dkim_domain, policy_domains, published_domain, p, sp, np,
     applied_policy, applied_subdomain_policy, adkim, aspf, pct,
     records, messages, passed_messages, original, version)
SELECT
    day, report_key, any(reporter) AS reporter, true, any(organization), 'dmarc@receiver.example', toString(report_key),
    toDateTime(day, 'UTC'), toDateTime(day + 1, 'UTC'),
    toDateTime64(day + 1, 3, 'UTC') + toIntervalSecond(report_key % 40000), 'smtp', hex(report_key), 'dkim', reporter,
    [any(policy_domain)], any(policy_domain), any(published_policy) AS p, p, p, p, p, 'r', 'r', 100, count(),
    sum(messages), sumIf(messages, passed), '', 5
FROM mailposture_tables.dmarc_records FINAL
WHERE day = {day:Date}
GROUP BY day, report_key
"""


def fill(client: Client, *, rows: int, domains: int) -> None:
    """Fill dmarc_records with about `rows` rows over the year before today, and dmarc_reports to match."""
    per_day = rows // DAYS // RECORDS * RECORDS
    for number in range(DAYS):
        day = TODAY - timedelta(days=DAYS - number)
        inserts = _LIVE_INSERTS if number >= DAYS - _LIVE_DAYS else 1
        _make(client, day=day, domains=domains, first=number * per_day, count=per_day, inserts=inserts)
        if (day + timedelta(days=1)).day == 1:
            for table in ("dmarc_records", "dmarc_reports"):
                client.command(f"OPTIMIZE TABLE mailposture_tables.{table} PARTITION {day:%Y%m} FINAL")


def _make(client: Client, *, day: date, domains: int, first: int, count: int, inserts: int) -> None:
    """Insert the rows of a day, in as many inserts; where these are several, the first comes twice."""
    share = count // inserts // RECORDS * RECORDS
    starts = [first + share * number for number in range(inserts)]
    for start in starts if inserts == 1 else [*starts, first]:
        numbers = {"domains": domains, "reporters": _REPORTERS, "records": RECORDS, "first": start, "count": share}
        client.command(_FILL_RECORDS, parameters={"day": day, **numbers})
    client.command(_FILL_REPORTS, parameters={"day": day})
