-- What our own probes saw, from outside, as senders would: one row per probe and DNS record, policy, or server.
CREATE TABLE IF NOT EXISTS {tables}.probe_results {on_cluster}
(
    day Date COMMENT 'Day of the probe (UTC)',
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    probe LowCardinality(String) COMMENT 'dns (a record), mta-sts (the policy), mx (one address of one MX host)',
    probed_at DateTime64(3, 'UTC') COMMENT 'When the probe began',
    record LowCardinality(String) COMMENT 'dns: mx, subdomains, tls-rpt, mta-sts, spf, dmarc, dmarc-authorization or dkim; else empty',
    subject LowCardinality(String) COMMENT 'dkim: the name of the key record; else empty',
    receiving_mx LowCardinality(String) COMMENT 'mx: our server; else empty',
    receiving_ip IPv6 COMMENT 'mx: the address of our server (IPv4 mapped); :: otherwise',
    success Bool COMMENT 'Whether the probe succeeded',
    reason LowCardinality(String) COMMENT 'What there was, a bounded term; empty on success',
    detail String COMMENT 'The same in words; on success what was seen',
    published String COMMENT 'dns: the record as it stood in DNS, several by lines; empty if there was none' CODEC(ZSTD(3)),
    policies Array(LowCardinality(String)) COMMENT 'dmarc: what receivers do for mail of the domain, of names below it, and of those that do not exist (none, quarantine, reject)',
    duration_seconds Float32 COMMENT 'How long it took',
    reachable Nullable(Bool) COMMENT 'mx: port 25 could be connected to; NULL if that says nothing about the server',
    starttls_offered Nullable(Bool) COMMENT 'mx: STARTTLS was offered; NULL if the server did not get that far',
    tls_version LowCardinality(String) COMMENT 'mx: TLS version negotiated; empty if none',
    certificate_valid Nullable(Bool) COMMENT 'mx: certificate trusted, in date and for this host; NULL if none was shown',
    certificate_not_after Nullable(DateTime64(0, 'UTC')) COMMENT 'mx: when the certificate expires; NULL if none was shown',
    certificate_names Array(String) COMMENT 'mx: the names in the certificate',
    tlsa LowCardinality(String) COMMENT 'mx: absent, match, match-unsigned, mismatch, dns-error, no-certificate',
    sts_mode LowCardinality(String) COMMENT 'mta-sts: mode of the policy served; empty if it could not be used',
    sts_max_age UInt32 COMMENT 'mta-sts: max_age of the policy served, in seconds',
    sts_mx_hosts Array(LowCardinality(String)) COMMENT 'mta-sts: mx patterns of the policy served',
    sts_record_id String COMMENT 'mta-sts: id in the _mta-sts record; empty if there is none',
    policy_agrees Nullable(Bool) COMMENT 'mta-sts: the policy served is the configured one; NULL if we host none',
    record_agrees Nullable(Bool) COMMENT 'mta-sts: the record has the id of the configured policy; NULL if we host none',
    mx_covered Nullable(Bool) COMMENT 'mta-sts: the policy served allows every MX; NULL if it could not be compared'
)
ENGINE = {replacing}
PARTITION BY toYYYYMM(day)
ORDER BY (day, policy_domain, probe, record, subject, receiving_mx, receiving_ip, probed_at)
TTL day + INTERVAL {retention_days} DAY
SETTINGS replicated_deduplication_window = 0
COMMENT 'History of what probes saw'
