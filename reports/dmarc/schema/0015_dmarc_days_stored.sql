-- When records of each day were last stored. Filled from dmarc_records (0016).
CREATE TABLE IF NOT EXISTS {tables}.dmarc_days_stored {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    day Date COMMENT 'Report day',
    stored_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'When records of this day were last stored, or its sources named'
)
ENGINE = {aggregating}
ORDER BY (policy_domain, day)
TTL day + INTERVAL {retention_days} DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, replicated_deduplication_window = 0
COMMENT 'Report days, and when records of them were last stored'
