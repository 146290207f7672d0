-- What dmarc_source_piles says, kept, so that questions about a year take no joins. Made again for the days that something was stored
-- for or that became known, and for the days whose evidence that changes (reports/dmarc/keeping.py). Nothing is here that
-- cannot be made again. Read with FINAL: a row that is no longer so is replaced by
-- its own removal, in the same insert as the rows that take its place.
CREATE TABLE IF NOT EXISTS {tables}.dmarc_sources {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    day Date COMMENT 'Report day: the UTC date of the middle of the reported period',
    source String COMMENT 'Who sends: a sender of the configuration, a service, a domain, a host name, a network' CODEC(ZSTD(1)),
    source_ip IPv6 COMMENT 'Address that the messages came from, IPv4 as ::ffff:a.b.c.d; :: if the report has no usable one' CODEC(ZSTD(1)),
    header_from LowCardinality(String) COMMENT 'Domain in the From field of the messages: ours, or a subdomain',
    pile LowCardinality(String) COMMENT 'aligned, ours-failing, forwarded or unknown',
    evidence LowCardinality(String) COMMENT 'Why it is in this pile, in words',
    reason LowCardinality(String) COMMENT 'What is wrong; empty if DMARC passed',
    published_policy LowCardinality(String) COMMENT 'Policy that applied to this header_from: p, or sp for subdomains; one step less with t=y, or where pct spared it',
    published_domain LowCardinality(String) COMMENT 'Domain whose record that is: ours, or a subdomain with a DMARC record of its own',
    source_kind LowCardinality(String) COMMENT 'own (named in the configuration), service, domain (that it authenticates as), host, network or unknown',
    possibly_ours Bool COMMENT 'unknown: a service, or a shared address, that may send for us',
    outcome UInt8 COMMENT 'Bits: 1 passed, 2 SPF aligned, 4 DKIM aligned, 8 quarantined, 16 rejected',
    messages UInt64 COMMENT 'Messages with our domain in From' CODEC(ZSTD(1)),
    counted_messages UInt64 COMMENT 'Messages of reporters that counted in alerts when this was made' CODEC(ZSTD(1)),
    reporters Array(LowCardinality(String)) COMMENT 'Who reported them, at most 100',
    counted_reporters Array(LowCardinality(String)) COMMENT 'Those of them that counted in alerts',
    version UInt64 COMMENT 'When this was made: milliseconds since 1970; the higher version of a row is kept',
    is_deleted UInt8 COMMENT '1: the row is no longer so'
)
ENGINE = {replacing}(version, is_deleted)
PARTITION BY toYYYYMM(day)
PRIMARY KEY (policy_domain, day)
ORDER BY (
    policy_domain, day, source, source_ip, header_from, pile, evidence, reason, published_policy, published_domain, source_kind,
    possibly_ours, outcome
)
TTL day + INTERVAL {retention_days} DAY
SETTINGS index_granularity = 2048, fsync_after_insert = 1, fsync_part_directory = 1, replicated_deduplication_window = 0,
    min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1
COMMENT 'Sources of mail in our name, kept; query dmarc_sources_daily'
