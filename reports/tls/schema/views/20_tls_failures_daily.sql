-- Details break failures down; their sum may differ from failed_sessions of tls_domain_daily, which comes from the summaries.
CREATE OR REPLACE VIEW {views}.tls_failures_daily {on_cluster}
(
    day Date COMMENT 'Report day (UTC)',
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    organization LowCardinality(String) COMMENT 'What the reporter calls itself: a caption, never an identity',
    reporter LowCardinality(String) COMMENT 'Who reports: an organizational domain',
    reporter_proven Bool COMMENT 'Whether that is proven by a signature',
    trust LowCardinality(String) COMMENT 'Why it is trusted: dkim, authserv, operator, mailbox, token',
    category LowCardinality(String) COMMENT 'What kind of failure; see failure_meanings',
    result_type LowCardinality(String) COMMENT 'result-type as reported',
    receiving_mx LowCardinality(String) COMMENT 'Our server; empty if not reported',
    failed_sessions UInt64 COMMENT 'Sessions that failed'
)
SQL SECURITY DEFINER
AS
SELECT
    day, policy_domain, organization, reporter, reporter_proven, trust, category, result_type, receiving_mx,
    sum(failed_sessions) AS failed_sessions
FROM {tables}.tls_failures FINAL
WHERE counts
GROUP BY day, policy_domain, organization, reporter, reporter_proven, trust, category, result_type, receiving_mx
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Failed sessions per day by cause, sender and server'
