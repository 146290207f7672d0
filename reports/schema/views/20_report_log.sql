-- Reports of all kinds, as far as they are alike.
CREATE OR REPLACE VIEW {views}.report_log {on_cluster}
(
    kind LowCardinality(String) COMMENT 'Of report: {names_of_kinds}',
    day Date COMMENT 'Report day (UTC)',
    report_key String COMMENT 'The report, as in the log of its kind',
    policy_domains Array(LowCardinality(String)) COMMENT 'Our domains that it is about',
    reporter LowCardinality(String) COMMENT 'Who reports: an organizational domain',
    reporter_proven Bool COMMENT 'Whether that is proven',
    period_end DateTime('UTC') COMMENT 'End of the reported period',
    received_at DateTime64(3, 'UTC') COMMENT 'When we accepted it',
    delay_hours Float64 COMMENT 'From the end of the period to arrival',
    source LowCardinality(String) COMMENT 'smtp, lmtp, https, imap, graph, maildir or file',
    name String COMMENT 'File, mailbox or queue id that it came in',
    trust LowCardinality(String) COMMENT 'Why it is trusted: dkim, spf, operator, mailbox, author, token',
    warnings Array(String) COMMENT 'Oddities of the report, and how they were read'
)
SQL SECURITY DEFINER
AS
SELECT
    kind, day, toString(report_key) AS report_key, policy_domains, reporter, reporter_proven, period_end, received_at,
    dateDiff('second', period_end, received_at) / 3600 AS delay_hours, source, name, trust, warnings
FROM
(
    {reports_of_all_kinds}
)
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Reports of all kinds, one row each, without their text'
