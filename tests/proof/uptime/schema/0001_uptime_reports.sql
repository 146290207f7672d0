-- One row per report.
CREATE TABLE IF NOT EXISTS {tables}.uptime_reports {on_cluster}
(
    day Date COMMENT 'Report day',
    report_key UInt64 COMMENT 'Identity of the report',
    content_key UInt64 COMMENT 'Hash of the content alone',
    reporter LowCardinality(String) COMMENT 'Who reports',
    reporter_proven Bool COMMENT 'Whether that is proven',
    organization LowCardinality(String) COMMENT 'A caption',
    submitter LowCardinality(String) COMMENT 'Empty',
    period_end DateTime('UTC') COMMENT 'End of the period',
    received_at DateTime64(3, 'UTC') COMMENT 'When we accepted the report',
    source LowCardinality(String) COMMENT 'smtp, lmtp, https, imap, graph, maildir or file',
    name String COMMENT 'File, mailbox or queue id that the report came in',
    trust LowCardinality(String) COMMENT 'Why it is trusted',
    dkim_domain LowCardinality(String) COMMENT 'Domain of the DKIM signature that was verified, else empty',
    policy_domains Array(LowCardinality(String)) COMMENT 'Our domain that the report is about',
    warnings Array(String) COMMENT 'Oddities',
    original String COMMENT 'The JSON as received' CODEC(ZSTD(6)),
    version UInt8 COMMENT 'Rank of trust; the higher version of a row is kept'
)
ENGINE = {replacing}(version)
PARTITION BY toYYYYMM(day)
ORDER BY (day, report_key)
TTL day + INTERVAL {retention_days} DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, replicated_deduplication_window = 0
COMMENT 'One row per uptime report'
