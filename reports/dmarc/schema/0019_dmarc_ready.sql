-- What dmarc_readiness_steps says, kept: it follows from what is stored, from the day, and from what is acknowledged
-- (reports/dmarc/keeping.py). Read with FINAL, as dmarc_sources is.
CREATE TABLE IF NOT EXISTS {tables}.dmarc_ready {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    scope LowCardinality(String) COMMENT 'domain; subdomains in a row of their own where they have another policy (sp); a subdomain with a DMARC record of its own, by its name',
    step LowCardinality(String) COMMENT 'quarantine or reject',
    verdict LowCardinality(String) COMMENT 'safe, not-yet or unclear',
    reasons Array(String) COMMENT 'Why, in sentences',
    policy LowCardinality(String) COMMENT 'Policy that receivers apply to all mail that fails, as most reporters that count found it last; empty if none did',
    published LowCardinality(String) COMMENT 'What is published, where that is stricter and for a test or a part of the mail only (p=quarantine; t=y); else empty',
    own_messages UInt64 COMMENT 'Aligned, forwarded and failing messages of ours, of reporters that count',
    refused_messages UInt64 COMMENT 'Of these those that fail: the step refuses them',
    share Nullable(Float64) COMMENT 'refused_messages / own_messages',
    unknown_messages UInt64 COMMENT 'Messages that nothing shows to be ours',
    reporters UInt64 COMMENT 'Reporters that count and saw one source of own mail, where most did',
    days UInt64 COMMENT 'Report days on which one source of own mail was seen, where that is most',
    version UInt64 COMMENT 'When this was made: milliseconds since 1970; the higher version of a row is kept',
    is_deleted UInt8 COMMENT '1: it is no longer so'
)
ENGINE = {replacing}(version, is_deleted)
ORDER BY (policy_domain, scope, step)
TTL toDate(fromUnixTimestamp64Milli(toInt64(version), 'UTC')) + INTERVAL {retention_days} DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, replicated_deduplication_window = 0
COMMENT 'Whether stricter DMARC policies are safe, kept; query dmarc_readiness'
