-- Other domains that mail authenticated as beside ours: how a service or a tenant of one is known to send for us. Filled from
-- dmarc_records (0010), idempotent as dmarc_own_addresses is.
CREATE TABLE IF NOT EXISTS {tables}.dmarc_own_companions {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    domain String COMMENT 'A domain, not below ours, that passed SPF or DKIM in mail that passed DMARC as ours',
    by_spf Bool COMMENT 'Whether that mail passed SPF as ours: then no forwarder added the domain',
    first_days SimpleAggregateFunction(minMap, Map(UInt64, Date)) COMMENT 'First report day by who says so: cityHash64(reporter, trust)',
    last_days SimpleAggregateFunction(maxMap, Map(UInt64, Date)) COMMENT 'Last report day by who says so',
    last_day SimpleAggregateFunction(max, Date) COMMENT 'Last report day of all'
)
ENGINE = {aggregating}
ORDER BY (policy_domain, domain, by_spf)
TTL last_day + INTERVAL {retention_days} DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, replicated_deduplication_window = 0
COMMENT 'Domains that authenticate beside ours, and who saw them when'
