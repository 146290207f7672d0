-- One row per failure detail. Details break failures down; their sums may differ from the summary (tls_policies).
CREATE TABLE IF NOT EXISTS {tables}.tls_failures {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain that the policy belongs to',
    day Date COMMENT 'Report day (UTC)',
    report_key UInt64 COMMENT 'Report that it comes from (tls_reports.report_key)',
    policy_index UInt16 COMMENT 'Position of the policy in the report, from 0',
    failure_index UInt32 COMMENT 'Position of the failure detail in the policy, from 0',
    reporter LowCardinality(String) COMMENT 'Who reports: the organizational domain of the DKIM signer, else of contact-info',
    reporter_proven Bool COMMENT 'Whether the reporter is proven (DKIM); else it is only what the report says',
    organization LowCardinality(String) COMMENT 'organization-name as the reporter wrote it, cleaned and capped: a caption, never an identity',
    policy_type LowCardinality(String) COMMENT 'sts, tlsa, no-policy-found, or other text as reported',
    sts_mode LowCardinality(String) COMMENT 'MTA-STS mode that the sender saw; empty if not sts',
    result_type LowCardinality(String) COMMENT 'result-type as reported (RFC 8460, section 4.3)',
    category LowCardinality(String) COMMENT 'What kind of failure it is; see failure_meanings',
    severity LowCardinality(String) COMMENT 'critical, warning or info',
    sending_mta_ip IPv6 COMMENT 'Address of the sending server (IPv4 mapped); :: if not reported',
    receiving_mx LowCardinality(String) COMMENT 'receiving-mx-hostname; empty if not reported',
    receiving_mx_helo LowCardinality(String) COMMENT 'receiving-mx-helo: first token; empty if not reported',
    receiving_ip IPv6 COMMENT 'Address of the receiving server (IPv4 mapped); :: if not reported',
    reason_code String COMMENT 'failure-reason-code, cleaned and capped',
    additional_information String COMMENT 'additional-information as reported, cleaned and capped; never a link',
    failed_sessions UInt64 COMMENT 'failed-session-count',
    counts Bool COMMENT 'false where another policy type of the same report breaks down the same sessions',
    trust LowCardinality(String) COMMENT 'Why the report is trusted: dkim, authserv, operator, mailbox, token',
    version UInt8 COMMENT 'Rank of trust; the higher version of a row is kept'
)
ENGINE = {replacing}(version)
PARTITION BY toYYYYMM(day)
ORDER BY (day, policy_domain, report_key, policy_index, failure_index)
TTL day + INTERVAL {retention_days} DAY
SETTINGS index_granularity = 2048, fsync_after_insert = 1, fsync_part_directory = 1, replicated_deduplication_window = 0,
    min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1
COMMENT 'One row per failure detail'
