-- What policies senders saw and applied. Rows that do not count describe sessions that another policy type counts.
-- Not grouped, so that questions over all domains are quick: sum the rows.
CREATE OR REPLACE VIEW {views}.tls_policies_daily {on_cluster}
(
    day Date COMMENT 'Report day (UTC)',
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    reported_policy_domain LowCardinality(String) COMMENT 'policy-domain as reported; for tlsa usually the MX host',
    organization LowCardinality(String) COMMENT 'What the reporter calls itself: a caption, never an identity',
    reporter LowCardinality(String) COMMENT 'Who reports: an organizational domain',
    reporter_proven Bool COMMENT 'Whether that is proven by a signature',
    trust LowCardinality(String) COMMENT 'Why it is trusted: dkim, authserv, operator, mailbox, token',
    policy_type LowCardinality(String) COMMENT 'sts, tlsa, no-policy-found, or other text as reported',
    sts_mode LowCardinality(String) COMMENT 'MTA-STS mode that the sender saw; empty if not sts',
    mx_hosts Array(LowCardinality(String)) COMMENT 'mx-host patterns of the policy',
    successful_sessions UInt64 COMMENT 'Sessions with TLS',
    failed_sessions UInt64 COMMENT 'Sessions that failed',
    counts Bool COMMENT 'false where another policy type counts the same sessions'
)
SQL SECURITY DEFINER
AS
SELECT
    day, policy_domain, reported_policy_domain, organization, reporter, reporter_proven, trust, policy_type, sts_mode, mx_hosts,
    successful_sessions, failed_sessions, counts
FROM {tables}.tls_policies FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Policies that senders applied, and their sessions; sum the rows of a sender'
