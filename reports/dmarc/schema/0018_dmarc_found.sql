-- What dmarc_findings_at says as of today, kept: it follows from what is stored, and from the day (reports/dmarc/keeping.py). Read with
-- FINAL, as dmarc_sources is.
CREATE TABLE IF NOT EXISTS {tables}.dmarc_found {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    cause LowCardinality(String) COMMENT 'What is wrong, or may be',
    subject String COMMENT 'The source; empty for the whole domain',
    severity LowCardinality(String) COMMENT 'critical, warning or info; empty if the cause decides',
    judged_by LowCardinality(String) COMMENT 'What it is compared with: attention says how',
    since Nullable(Date) COMMENT 'First day of this run',
    affected UInt64 COMMENT 'Messages that it is about',
    of UInt64 COMMENT 'Of how many messages; 0 where that means nothing',
    detail String COMMENT 'More in words',
    seen_by Array(String) COMMENT 'Reporters that say so, twenty at most',
    version UInt64 COMMENT 'When this was made: milliseconds since 1970; the higher version of a row is kept',
    is_deleted UInt8 COMMENT '1: it is no longer so'
)
ENGINE = {replacing}(version, is_deleted)
ORDER BY (policy_domain, cause, subject)
TTL toDate(fromUnixTimestamp64Milli(toInt64(version), 'UTC')) + INTERVAL {retention_days} DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, replicated_deduplication_window = 0
COMMENT 'What DMARC reports find wrong, kept; query attention'
