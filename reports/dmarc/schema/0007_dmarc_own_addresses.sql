-- Addresses that passed SPF as a domain of ours: they stand in our SPF record. Filled from dmarc_records (0008); minimum,
-- maximum and union are idempotent, so rows that are written again change nothing.
CREATE TABLE IF NOT EXISTS {tables}.dmarc_own_addresses {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    source_ip IPv6 COMMENT 'Address, IPv4 as ::ffff:a.b.c.d',
    first_day SimpleAggregateFunction(min, Date) COMMENT 'First report day with an aligned SPF pass',
    last_day SimpleAggregateFunction(max, Date) COMMENT 'Last report day with one',
    reporters SimpleAggregateFunction(groupUniqArrayArray, Array(UInt64)) COMMENT 'Who says so: cityHash64(reporter, trust)'
)
ENGINE = {aggregating}
ORDER BY (policy_domain, source_ip)
TTL last_day + INTERVAL {retention_days} DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, replicated_deduplication_window = 0
COMMENT 'Addresses with aligned SPF passes, and who saw them when'
