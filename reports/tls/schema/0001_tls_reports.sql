-- Replicated tables swallow a block that they have seen, also one that never became rows, or never reached what a
-- materialized view fills. Here rows that are written again count once by their keys: hence no deduplication window.
--
-- One row per report. Read with FINAL: a copy of the same report replaces the row, the more trusted copy wins.
CREATE TABLE IF NOT EXISTS {tables}.tls_reports {on_cluster}
(
    day Date COMMENT 'Report day: the UTC date of the start of the reported period (not the day of arrival)',
    report_key UInt64 COMMENT 'Identity of the report: hash of its content (organization, contact, report-id, period, policies) and of who reports',
    content_key UInt64 COMMENT 'Hash of the content alone, by which copies of a report are found',
    reporter LowCardinality(String) COMMENT 'Who reports: the organizational domain of the DKIM signer, else of contact-info',
    reporter_proven Bool COMMENT 'Whether the reporter is proven (DKIM); else it is only what the report says',
    organization LowCardinality(String) COMMENT 'organization-name as the reporter wrote it, cleaned and capped: a caption, never an identity',
    contact String COMMENT 'contact-info as the sender wrote it, cleaned and capped',
    submitter LowCardinality(String) COMMENT 'TLS-Report-Submitter header of the mail, empty by HTTPS',
    report_id String COMMENT 'report-id as the sender wrote it; not unique on its own',
    period_start DateTime('UTC') COMMENT 'Start of the reported period',
    period_end DateTime('UTC') COMMENT 'End of the reported period',
    received_at DateTime64(3, 'UTC') COMMENT 'When we accepted the report; hours to weeks after its day',
    source LowCardinality(String) COMMENT 'smtp, lmtp, https, imap, graph, maildir or file',
    name String COMMENT 'File, mailbox or queue id that the report came in',
    peer String COMMENT 'IP address of the client that delivered the report',
    trust LowCardinality(String) COMMENT 'Why it is trusted: dkim, authserv, operator, mailbox, token',
    dkim_domain LowCardinality(String) COMMENT 'Domain of the DKIM signature that was verified (d=), else empty',
    policy_domains Array(LowCardinality(String)) COMMENT 'Our domains that the report is about',
    successful_sessions UInt64 COMMENT 'Sessions with TLS, each counted once',
    failed_sessions UInt64 COMMENT 'Sessions that failed, each counted once',
    warnings Array(String) COMMENT 'Oddities of the report, and how they were read',
    original String COMMENT 'The JSON as received' CODEC(ZSTD(1)),
    version UInt8 COMMENT 'Rank of trust; the higher version of a row is kept'
)
ENGINE = {replacing}(version)
PARTITION BY toYYYYMM(day)
ORDER BY (day, report_key)
TTL day + INTERVAL {retention_days} DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, replicated_deduplication_window = 0,
    min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1
COMMENT 'One row per TLS report (RFC 8460)'
