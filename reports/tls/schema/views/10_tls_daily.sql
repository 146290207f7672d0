-- One row per day, domain, policy type and reporter. Over many domains tls_policies_daily is quicker. Never add rows of different policy types up: sts and tlsa describe the same sessions. tls_domain_daily adds up right.
CREATE OR REPLACE VIEW {views}.tls_daily {on_cluster}
(
    day Date COMMENT 'Report day (UTC)',
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    policy_type LowCardinality(String) COMMENT 'sts, tlsa, no-policy-found, or other text as reported',
    organization LowCardinality(String) COMMENT 'What the reporter calls itself: a caption, never an identity',
    reporter LowCardinality(String) COMMENT 'Who reports: an organizational domain',
    reporter_proven Bool COMMENT 'Whether that is proven by a signature',
    trust LowCardinality(String) COMMENT 'Why it is believed: dkim, operator, mailbox, token',
    successful_sessions UInt64 COMMENT 'Sessions with TLS',
    failed_sessions UInt64 COMMENT 'Sessions that failed'
)
SQL SECURITY DEFINER
AS
SELECT
    day, policy_domain, policy_type, any(organization) AS organization, reporter, any(reporter_proven) AS reporter_proven, trust,
    sum(successful_sessions) AS successful_sessions, sum(failed_sessions) AS failed_sessions
FROM {tables}.tls_policies FINAL
GROUP BY day, policy_domain, policy_type, reporter, trust
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Sessions a day by policy type and reporter; do not add up sts and tlsa'
