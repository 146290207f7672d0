-- Each session once, also where a report lists it under both sts and tlsa.
CREATE OR REPLACE VIEW {views}.tls_domain_daily {on_cluster}
(
    day Date COMMENT 'Report day (UTC)',
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    successful_sessions UInt64 COMMENT 'Sessions with TLS',
    failed_sessions UInt64 COMMENT 'Sessions that failed'
)
SQL SECURITY DEFINER
AS
SELECT day, policy_domain, sum(successful_sessions) AS successful_sessions, sum(failed_sessions) AS failed_sessions
FROM {tables}.tls_policies FINAL
WHERE counts
GROUP BY day, policy_domain
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Sessions per day, each counted once'
