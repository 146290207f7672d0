-- Addresses that passed SPF as a domain of ours: they stand in our SPF record. Filled from dmarc_records (0008); minimum
-- and maximum are idempotent, so rows that are written again change nothing. Days stand beside who saw them: merged with those of
-- others, a forged report would make evidence older or newer than reporters that count have seen it.
CREATE TABLE IF NOT EXISTS {tables}.dmarc_own_addresses {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    source_ip IPv6 COMMENT 'Address, IPv4 as ::ffff:a.b.c.d',
    first_days SimpleAggregateFunction(minMap, Map(UInt64, Date)) COMMENT 'First report day by who says so: cityHash64(reporter, trust)',
    last_days SimpleAggregateFunction(maxMap, Map(UInt64, Date)) COMMENT 'Last report day by who says so',
    last_day SimpleAggregateFunction(max, Date) COMMENT 'Last report day of all'
)
ENGINE = {aggregating}
ORDER BY (policy_domain, source_ip)
TTL last_day + INTERVAL {retention_days} DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, replicated_deduplication_window = 0
COMMENT 'Addresses with aligned SPF passes, and who saw them when'
