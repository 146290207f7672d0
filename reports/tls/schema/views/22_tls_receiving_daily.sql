-- Which of our servers senders failed at, and how many reporters agree.
CREATE OR REPLACE VIEW {views}.tls_receiving_daily {on_cluster}
(
    day Date COMMENT 'Report day (UTC)',
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    receiving_mx LowCardinality(String) COMMENT 'Our server',
    category LowCardinality(String) COMMENT 'What kind of failure; see failure_meanings',
    reporters UInt64 COMMENT 'How many reporters say so',
    failed_sessions UInt64 COMMENT 'Sessions that failed'
)
SQL SECURITY DEFINER
AS
SELECT day, policy_domain, receiving_mx, category, uniqExact(reporter, trust) AS reporters, sum(failed_sessions) AS failed_sessions
FROM {tables}.tls_failures FINAL
WHERE counts AND receiving_mx != ''
GROUP BY day, policy_domain, receiving_mx, category
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Failed sessions a day by receiving server'
