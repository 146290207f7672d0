-- Every domain of ours, also one about which nobody sends DMARC reports. Only reporters that count in alerts, as tls_freshness has it
-- for TLS reports. Copies of a report change no maximum and no distinct count, so this needs no FINAL.
CREATE OR REPLACE VIEW {views}.dmarc_freshness {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    last_report_day Nullable(Date) COMMENT 'Newest report day; NULL if none of the last 35 days is reported about',
    last_received_at Nullable(DateTime('UTC')) COMMENT 'When the last report was accepted; NULL if none in the last 35 days',
    reporters_last_7_days UInt64 COMMENT 'How many reporters there are about the last 7 days',
    reports_last_7_days UInt64 COMMENT 'How many reports there are about the last 7 days'
)
SQL SECURITY DEFINER
AS
WITH assumeNotNull((SELECT today FROM {views}.clock)) AS today
SELECT policy_domain, last_report_day, last_received_at, reporters_last_7_days, reports_last_7_days
FROM (SELECT policy_domain FROM {tables}.configured_domains FINAL WHERE active) AS configured
LEFT JOIN
(
    SELECT
        policy_domain,
        toNullable(max(last_arrival)) AS last_received_at,
        maxOrNullIf(last_day, last_day > toDate(0)) AS last_report_day,
        uniqExactIf(reporter, reports > 0) AS reporters_last_7_days,
        sum(reports) AS reports_last_7_days
    FROM {views}.dmarc_reporters
    LEFT JOIN
    (
        SELECT
            policy_domains[1] AS policy_domain, reporter, trust, max(day) AS last_day,
            uniqIf(report_key, day >= today - 7) AS reports
        FROM {tables}.dmarc_reports
        WHERE day >= today - 35 AND day <= today
        GROUP BY policy_domain, reporter, trust
    ) AS covered USING (policy_domain, reporter, trust)
    WHERE counts
    GROUP BY policy_domain
) AS reported USING (policy_domain)
COMMENT 'When each of our domains was last reported about in DMARC reports'
