-- Every domain of ours, also one that nobody reports about. Copies of a report change no maximum and no distinct count, so
-- this needs no FINAL.
CREATE OR REPLACE VIEW {database}.tls_freshness {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    last_report_day Nullable(Date) COMMENT 'Newest report day; NULL if no report is kept',
    last_received_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When the last report arrived; NULL if none is kept',
    organizations_last_7_days UInt64 COMMENT 'How many senders reported about the last 7 days',
    reports_last_7_days UInt64 COMMENT 'How many reports there are about the last 7 days'
)
SQL SECURITY DEFINER
AS
SELECT policy_domain, last_report_day, last_received_at, organizations_last_7_days, reports_last_7_days
FROM (SELECT policy_domain FROM {database}.configured_domains FINAL WHERE active) AS configured
LEFT JOIN
(
    SELECT
        policy_domain,
        toNullable(max(day)) AS last_report_day,
        toNullable(max(received_at)) AS last_received_at,
        uniqExactIf(organization, day >= today() - 7) AS organizations_last_7_days,
        uniqExactIf(report_key, day >= today() - 7) AS reports_last_7_days
    FROM {database}.tls_reports
    ARRAY JOIN policy_domains AS policy_domain
    GROUP BY policy_domain
) AS reported USING (policy_domain)
COMMENT 'When each of our domains was last reported about'
