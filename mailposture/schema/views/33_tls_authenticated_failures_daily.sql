-- Anybody can mail a forged report, so what pages people looks only at reports with a reason to be believed.
CREATE OR REPLACE VIEW {database}.tls_authenticated_failures_daily {on_cluster}
(
    day Date COMMENT 'Report day (UTC)',
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    organization LowCardinality(String) COMMENT 'Who reports',
    category LowCardinality(String) COMMENT 'What kind of failure; see failure_meanings',
    severity LowCardinality(String) COMMENT 'critical, warning or info',
    result_type LowCardinality(String) COMMENT 'result-type as reported',
    sts_mode LowCardinality(String) COMMENT 'MTA-STS mode that the sender saw; empty if not sts',
    receiving_mx LowCardinality(String) COMMENT 'Our server; empty if not reported',
    failed_sessions UInt64 COMMENT 'Sessions that failed'
)
SQL SECURITY DEFINER
AS
SELECT day, policy_domain, organization, category, severity, result_type, sts_mode, receiving_mx, sum(failed_sessions) AS failed_sessions
FROM {database}.tls_failures FINAL
WHERE counts AND trust != 'none'
GROUP BY day, policy_domain, organization, category, severity, result_type, sts_mode, receiving_mx
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'tls_failures_daily of authenticated reports, with severity and MTA-STS mode'
