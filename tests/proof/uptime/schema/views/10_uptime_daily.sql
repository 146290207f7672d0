-- How often each host answered on each day.
CREATE OR REPLACE VIEW {views}.uptime_daily {on_cluster}
(
    day Date COMMENT 'Report day',
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    host LowCardinality(String) COMMENT 'The host',
    up UInt64 COMMENT 'How often it answered',
    down UInt64 COMMENT 'How often it did not'
)
SQL SECURITY DEFINER
AS
SELECT day, policy_domain, host, sum(uptime_checks.up) AS up, sum(uptime_checks.down) AS down
FROM {tables}.uptime_checks FINAL
GROUP BY day, policy_domain, host
COMMENT 'How often each host answered on each day'
