-- One row per report and policy. Session counts come from here only. The day comes first: questions ask for days, and new rows
-- then lie beside old ones instead of among them, which keeps FINAL cheap. Small granules keep one domain cheap too.
CREATE TABLE IF NOT EXISTS {tables}.tls_policies {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain that the policy belongs to',
    day Date COMMENT 'Report day (UTC)',
    report_key UInt64 COMMENT 'Report that it comes from (tls_reports.report_key)',
    policy_index UInt16 COMMENT 'Position of the policy in the report, from 0',
    reported_policy_domain LowCardinality(String) COMMENT 'policy-domain as reported; for tlsa usually the MX host',
    reporter LowCardinality(String) COMMENT 'Who reports: the organizational domain of the DKIM signer, else of contact-info',
    reporter_proven Bool COMMENT 'Whether the reporter is proven (DKIM); else it is only what the report says',
    organization LowCardinality(String) COMMENT 'organization-name as the reporter wrote it, cleaned and capped: a caption, never an identity',
    policy_type LowCardinality(String) COMMENT 'sts, tlsa, no-policy-found, or other text as reported',
    sts_mode LowCardinality(String) COMMENT 'MTA-STS mode that the sender saw: enforce, testing, none; empty if not sts',
    policy_strings Array(LowCardinality(String)) COMMENT 'policy-string: the policy that the sender applied',
    mx_hosts Array(LowCardinality(String)) COMMENT 'mx-host patterns of the policy',
    successful_sessions UInt64 COMMENT 'total-successful-session-count',
    failed_sessions UInt64 COMMENT 'total-failure-session-count',
    counts Bool COMMENT 'false where another policy type of the same report describes the same sessions (sts and tlsa)',
    trust LowCardinality(String) COMMENT 'Why the report is trusted: dkim, authserv, operator, mailbox, token',
    version UInt8 COMMENT 'Rank of trust; the higher version of a row is kept'
)
ENGINE = {replacing}(version)
PARTITION BY toYYYYMM(day)
ORDER BY (day, policy_domain, report_key, policy_index)
TTL day + INTERVAL {retention_days} DAY
SETTINGS index_granularity = 2048, fsync_after_insert = 1, fsync_part_directory = 1, replicated_deduplication_window = 0,
    min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1
COMMENT 'One row per report and policy: session counts'
