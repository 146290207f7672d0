-- What the configuration says about our domains now.
CREATE OR REPLACE VIEW {views}.domains {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    team LowCardinality(String) COMMENT 'Team that is responsible for it',
    failure_ratio_threshold Float64 COMMENT 'Failures above this share of sessions deserve attention (0 to 1)',
    minimum_sessions UInt64 COMMENT 'Fewer failed sessions (or messages) than this deserve no attention; suspicions need no minimum',
    stale_after_seconds UInt64 COMMENT 'Reports older than this are missing',
    certificate_expiry_seconds UInt64 COMMENT 'Certificates that end within this time must be renewed',
    parked Bool COMMENT 'Takes no mail and sends none: no reports about it are expected',
    hosted_sts_mode LowCardinality(String) COMMENT 'Mode of the MTA-STS policy that we host; empty if none',
    probes Array(LowCardinality(String)) COMMENT 'Our probes that have something to look at'
)
SQL SECURITY DEFINER
AS
SELECT
    policy_domain, team, failure_ratio_threshold, minimum_sessions, stale_after_seconds, certificate_expiry_seconds, parked,
    hosted_sts_mode, probes
FROM {tables}.configured_domains FINAL
WHERE active
COMMENT 'Our domains and their thresholds'
