-- Reports without their text.
CREATE OR REPLACE VIEW {views}.tls_report_log {on_cluster}
(
    day Date COMMENT 'Report day (UTC)',
    report_key String COMMENT 'The report, as in tls_failure_details',
    organization LowCardinality(String) COMMENT 'What the reporter calls itself: a caption, never an identity',
    reporter LowCardinality(String) COMMENT 'Who reports: an organizational domain',
    reporter_proven Bool COMMENT 'Whether that is proven by a signature',
    contact String COMMENT 'contact-info',
    submitter LowCardinality(String) COMMENT 'TLS-Report-Submitter header of the mail, empty by HTTPS',
    report_id String COMMENT 'report-id; not unique on its own',
    period_start DateTime('UTC') COMMENT 'Start of the reported period',
    period_end DateTime('UTC') COMMENT 'End of the reported period',
    received_at DateTime64(3, 'UTC') COMMENT 'When we accepted it',
    delay_hours Float64 COMMENT 'From the end of the period to arrival',
    source LowCardinality(String) COMMENT 'smtp, lmtp, https, imap, graph, maildir or file',
    name String COMMENT 'File, mailbox or queue id that it came in',
    peer String COMMENT 'IP address of the client that delivered it',
    trust LowCardinality(String) COMMENT 'Why it is trusted: dkim, authserv, operator, mailbox, token',
    dkim_domain LowCardinality(String) COMMENT 'Domain of the DKIM signature that was verified, else empty',
    policy_domains Array(LowCardinality(String)) COMMENT 'Our domains that it is about',
    successful_sessions UInt64 COMMENT 'Sessions with TLS',
    failed_sessions UInt64 COMMENT 'Sessions that failed',
    warnings Array(String) COMMENT 'Oddities of the report, and how they were read'
)
SQL SECURITY DEFINER
AS
SELECT
    day, toString(report_key) AS report_key, organization, reporter, reporter_proven, contact, submitter, report_id, period_start, period_end, received_at,
    dateDiff('second', period_end, received_at) / 3600 AS delay_hours,
    source, name, peer, trust, dkim_domain, policy_domains, successful_sessions, failed_sessions, warnings
FROM {tables}.tls_reports FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Reports, one row each, without their text'
