-- Every domain of ours, also one that nobody reports about. Copies of a report change no maximum and no distinct count, so
-- this needs no FINAL. Reports that nothing vouches for are left out: a forged one a day must not hide that true ones stay away.
CREATE OR REPLACE VIEW {database}.tls_freshness {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    last_report_day Nullable(Date) COMMENT 'Newest report day; NULL if none of the last 35 days is reported about',
    last_received_at Nullable(DateTime('UTC')) COMMENT 'When the last report was stored; NULL likewise',
    organizations_last_7_days UInt64 COMMENT 'How many senders reported about the last 7 days',
    reports_last_7_days UInt64 COMMENT 'How many reports there are about the last 7 days'
)
SQL SECURITY DEFINER
AS
WITH assumeNotNull((SELECT today FROM {database}.clock)) AS today
SELECT policy_domain, last_report_day, last_received_at, organizations_last_7_days, reports_last_7_days
FROM (SELECT policy_domain FROM {database}.configured_domains FINAL WHERE active) AS configured
LEFT JOIN
(
    SELECT policy_domain, toNullable(max(day)) AS last_report_day, toNullable(max(stored_at)) AS last_received_at
    FROM {database}.tls_policies
    WHERE day >= today - 35 AND trust != 'none'
    GROUP BY policy_domain
) AS ever USING (policy_domain)
LEFT JOIN
(
    SELECT
        policy_domain,
        uniqExact(organization) AS organizations_last_7_days,
        uniq(report_key) AS reports_last_7_days
    FROM {database}.tls_policies
    WHERE day >= today - 7 AND trust != 'none'
    GROUP BY policy_domain
) AS lately USING (policy_domain)
COMMENT 'When each of our domains was last reported about'
