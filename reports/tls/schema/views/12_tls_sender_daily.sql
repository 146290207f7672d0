-- Each session once, by who reports it. A sender may have several rows a day: sum them. Grouping here would cost a second
-- over ten thousand domains.
CREATE OR REPLACE VIEW {views}.tls_sender_daily {on_cluster}
(
    day Date COMMENT 'Report day (UTC)',
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    organization LowCardinality(String) COMMENT 'What the reporter calls itself: a caption, never an identity',
    reporter LowCardinality(String) COMMENT 'Who reports: an organizational domain',
    reporter_proven Bool COMMENT 'Whether that is proven by a signature',
    trust LowCardinality(String) COMMENT 'Why it is trusted: dkim, authserv, operator, mailbox, token',
    successful_sessions UInt64 COMMENT 'Sessions with TLS',
    failed_sessions UInt64 COMMENT 'Sessions that failed'
)
SQL SECURITY DEFINER
AS
SELECT day, policy_domain, organization, reporter, reporter_proven, trust, successful_sessions, failed_sessions
FROM {tables}.tls_policies FINAL
WHERE counts
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Sessions per day by sender, each counted once; sum the rows of a sender'
