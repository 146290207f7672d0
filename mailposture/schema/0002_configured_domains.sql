-- The domains of the configuration, so that a domain without any report is seen too. Written at every start.
CREATE TABLE IF NOT EXISTS {tables}.configured_domains {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'A domain of ours',
    team LowCardinality(String) COMMENT 'Team that is responsible for it',
    failure_ratio_threshold Float64 COMMENT 'Failures above this share of sessions deserve attention (0 to 1)',
    minimum_sessions UInt64 COMMENT 'Fewer failed sessions than this never deserve attention',
    stale_after_seconds UInt64 COMMENT 'Reports older than this are missing',
    certificate_expiry_seconds UInt64 COMMENT 'Certificates that end within this time must be renewed',
    posts_count Bool COMMENT 'Whether reports posted by HTTPS, which prove nothing, count in alerts',
    parked Bool COMMENT 'Takes no mail and sends none: no reports about it are expected',
    hosted_sts_mode LowCardinality(String) COMMENT 'Mode of the MTA-STS policy that we host; empty if none',
    probes Array(LowCardinality(String)) COMMENT 'Our probes that have something to look at',
    active Bool COMMENT 'false once the domain has left the configuration',
    updated_at DateTime64(3, 'UTC') COMMENT 'When the configuration was read'
)
ENGINE = {replacing}(updated_at)
ORDER BY policy_domain
COMMENT 'The domains of the configuration'
