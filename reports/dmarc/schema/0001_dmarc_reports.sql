-- One row per report. Read with FINAL: a copy of the same report replaces the row, the more trusted copy wins.
CREATE TABLE IF NOT EXISTS {tables}.dmarc_reports {on_cluster}
(
    day Date COMMENT 'Report day: the UTC date of the middle of the reported period (not the day of arrival)',
    report_key UInt64 COMMENT 'Identity of the report: hash of its content (organization, e-mail, report id, period, records) and of who reports',
    content_key UInt64 COMMENT 'Hash of the content alone, by which copies of a report are found',
    reporter LowCardinality(String) COMMENT 'Who reports: the organizational domain that DKIM or SPF proves, else of the e-mail address in the report',
    reporter_proven Bool COMMENT 'Whether the reporter is proven (DKIM, SPF); else it is only what the report says',
    organization LowCardinality(String) COMMENT 'org_name as the reporter wrote it, cleaned and capped: a caption, never an identity',
    contact String COMMENT 'email as the reporter wrote it, cleaned and capped',
    extra_contact String COMMENT 'extra_contact_info as the reporter wrote it, cleaned and capped',
    submitter LowCardinality(String) COMMENT 'Submitter in the Subject of the mail, or empty',
    report_id String COMMENT 'report_id as the reporter wrote it; not unique on its own',
    period_start DateTime('UTC') COMMENT 'Start of the reported period',
    period_end DateTime('UTC') COMMENT 'End of the reported period',
    received_at DateTime64(3, 'UTC') COMMENT 'When we accepted the report; hours to weeks after its day',
    source LowCardinality(String) COMMENT 'smtp, lmtp, https, imap, graph, maildir or file',
    name String COMMENT 'File, mailbox or queue id that the report came in',
    peer String COMMENT 'IP address of the client that delivered the report',
    trust LowCardinality(String) COMMENT 'Why it is trusted: dkim, authserv, spf, operator, mailbox, author',
    dkim_domain LowCardinality(String) COMMENT 'Domain of the DKIM signature that was verified (d=), else empty',
    policy_domains Array(LowCardinality(String)) COMMENT 'Our domain that the report is about',
    published_domain LowCardinality(String) COMMENT 'Where the reporter found the policy: our domain, or a subdomain with a record of its own',
    p LowCardinality(String) COMMENT 'Policy as the reporter found it: none, quarantine or reject',
    sp LowCardinality(String) COMMENT 'Policy for subdomains; what p says where the report has none',
    np LowCardinality(String) COMMENT 'Policy for subdomains that do not exist; what sp says where the report has none',
    adkim LowCardinality(String) COMMENT 'Alignment of DKIM: r (relaxed) or s (strict)',
    aspf LowCardinality(String) COMMENT 'Alignment of SPF: r (relaxed) or s (strict)',
    pct UInt8 COMMENT 'Percentage of messages that the policy applied to (RFC 7489); 100 where the report has none',
    fo LowCardinality(String) COMMENT 'Failure reporting options as the reporter found them',
    testing LowCardinality(String) COMMENT 'Tag t as the reporter found it (RFC 9989): y or n, empty if unsaid',
    discovery_method LowCardinality(String) COMMENT 'How the reporter finds the record (RFC 9990): psl or treewalk, empty if unsaid',
    applied_policy LowCardinality(String) COMMENT 'What receivers do with all mail that fails: p, one step less with t=y or pct below 100',
    applied_subdomain_policy LowCardinality(String) COMMENT 'The same for subdomains: sp, one step less with t=y or pct below 100',
    generator LowCardinality(String) COMMENT 'Program that made the report, as it says',
    error String COMMENT 'What the reporter says went wrong, cleaned and capped',
    records UInt32 COMMENT 'Records of the report: rows in dmarc_records',
    messages UInt64 COMMENT 'Messages of all records',
    passed_messages UInt64 COMMENT 'Messages that passed DMARC',
    warnings Array(String) COMMENT 'Oddities of the report, and how they were read',
    original String COMMENT 'The XML as received' CODEC(ZSTD(6)),
    version UInt8 COMMENT 'Rank of trust; the higher version of a row is kept'
)
ENGINE = {replacing}(version)
PARTITION BY toYYYYMM(day)
ORDER BY (day, report_key)
TTL day + INTERVAL {retention_days} DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, replicated_deduplication_window = 0,
    min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1
COMMENT 'One row per DMARC aggregate report (RFC 7489, RFC 9990)'
