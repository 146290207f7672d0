-- Networks that the SPF records of our domains let send, as our probes read them, once a day. Minimum and maximum are idempotent, so
-- rows that are written again change nothing.
CREATE TABLE IF NOT EXISTS {tables}.spf_networks {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    first_ip IPv6 COMMENT 'First address of the network, IPv4 as ::ffff:a.b.c.d',
    last_ip IPv6 COMMENT 'Last address of the network',
    via Array(String) COMMENT 'Names through which the record lists it, from the outside in: what it includes, then the host of a or mx',
    first_day SimpleAggregateFunction(min, Date) COMMENT 'First day on which it was listed',
    last_day SimpleAggregateFunction(max, Date) COMMENT 'Last day on which it was listed'
)
ENGINE = {aggregating}
ORDER BY (policy_domain, first_ip, last_ip, via)
TTL last_day + INTERVAL {retention_days} DAY
SETTINGS replicated_deduplication_window = 0
COMMENT 'Networks in SPF records of our domains'
