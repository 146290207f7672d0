-- The finest there is. IP addresses are text, so that they look the same everywhere.
CREATE OR REPLACE VIEW {views}.tls_failure_details {on_cluster}
(
    day Date COMMENT 'Report day (UTC)',
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    report_key String COMMENT 'The report: tls_report_log, tls_report_originals',
    organization LowCardinality(String) COMMENT 'What the reporter calls itself: a caption, never an identity',
    reporter LowCardinality(String) COMMENT 'Who reports: an organizational domain',
    reporter_proven Bool COMMENT 'Whether that is proven by a signature',
    policy_type LowCardinality(String) COMMENT 'sts, tlsa, no-policy-found, or other text as reported',
    sts_mode LowCardinality(String) COMMENT 'MTA-STS mode that the sender saw; empty if not sts',
    result_type LowCardinality(String) COMMENT 'result-type as reported',
    category LowCardinality(String) COMMENT 'What kind of failure; see failure_meanings',
    severity LowCardinality(String) COMMENT 'critical, warning or info',
    sending_mta_ip String COMMENT 'Address of the sending server; empty if not reported',
    receiving_mx LowCardinality(String) COMMENT 'Our server; empty if not reported',
    receiving_mx_helo LowCardinality(String) COMMENT 'What our server called itself; empty if not reported',
    receiving_ip String COMMENT 'Address of our server; empty if not reported',
    reason_code String COMMENT 'failure-reason-code, the sender''s own words',
    additional_information String COMMENT 'additional-information, the sender''s own words',
    failed_sessions UInt64 COMMENT 'Sessions that failed',
    counts Bool COMMENT 'false where another policy type breaks down the same sessions',
    trust LowCardinality(String) COMMENT 'Why it is trusted: dkim, authserv, operator, mailbox, token'
)
SQL SECURITY DEFINER
AS
SELECT
    day, policy_domain, toString(report_key) AS report_key, organization, reporter, reporter_proven, policy_type, sts_mode,
    result_type, category, severity,
    if(sending_mta_ip = toIPv6('::'), '', replaceRegexpOne(toString(sending_mta_ip), '^::ffff:([0-9.]+)$', '\\1')) AS sending_mta_ip,
    receiving_mx, receiving_mx_helo,
    if(receiving_ip = toIPv6('::'), '', replaceRegexpOne(toString(receiving_ip), '^::ffff:([0-9.]+)$', '\\1')) AS receiving_ip,
    reason_code, additional_information, failed_sessions, counts, trust
FROM {tables}.tls_failures FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Failure details as reported, one row each'
