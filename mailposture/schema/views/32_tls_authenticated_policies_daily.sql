-- Anybody can mail a forged report, so what pages people looks only at reports with a reason to be believed.
-- All policies, whether or not they count.
CREATE OR REPLACE VIEW {database}.tls_authenticated_policies_daily {on_cluster}
(
    day Date COMMENT 'Report day (UTC)',
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    organization LowCardinality(String) COMMENT 'Who reports',
    policy_type LowCardinality(String) COMMENT 'sts, tlsa, no-policy-found, or other text as reported',
    sts_mode LowCardinality(String) COMMENT 'MTA-STS mode that the sender saw; empty if not sts',
    successful_sessions UInt64 COMMENT 'Sessions with TLS',
    failed_sessions UInt64 COMMENT 'Sessions that failed'
)
SQL SECURITY DEFINER
AS
SELECT day, policy_domain, organization, policy_type, sts_mode, successful_sessions, failed_sessions
FROM {database}.tls_policies FINAL
WHERE trust != 'none'
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Sessions by policy type and MTA-STS mode, of authenticated reports; do not add up sts and tlsa'
