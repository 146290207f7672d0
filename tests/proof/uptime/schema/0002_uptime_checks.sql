-- One row per host of a report.
CREATE TABLE IF NOT EXISTS {tables}.uptime_checks {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    day Date COMMENT 'Report day',
    report_key UInt64 COMMENT 'The report',
    check_index UInt32 COMMENT 'Position in the report',
    host LowCardinality(String) COMMENT 'The host',
    up UInt32 COMMENT 'How often it answered',
    down UInt32 COMMENT 'How often it did not',
    version UInt8 COMMENT 'Rank of trust'
)
ENGINE = {replacing}(version)
PARTITION BY toYYYYMM(day)
ORDER BY (policy_domain, day, report_key, check_index)
TTL day + INTERVAL {retention_days} DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, replicated_deduplication_window = 0
COMMENT 'One row per host of an uptime report'
