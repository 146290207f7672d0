-- A day of our probes in a row. Where outbound port 25 is closed a probe sees nothing, which says nothing about the server.
CREATE OR REPLACE VIEW {views}.probe_results_daily {on_cluster}
(
    day Date COMMENT 'Day of the probes (UTC)',
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    probe LowCardinality(String) COMMENT 'dns (a record), mta-sts (the policy), mx (one address of one MX host)',
    record LowCardinality(String) COMMENT 'dns: mx, subdomains, tls-rpt, mta-sts, spf, dmarc, dmarc-authorization or dkim; else empty',
    subject LowCardinality(String) COMMENT 'dkim: the name of the key record; else empty',
    receiving_mx LowCardinality(String) COMMENT 'mx: our server; else empty',
    receiving_ip String COMMENT 'mx: its address; else empty',
    probes UInt64 COMMENT 'Probes that could see something',
    successes UInt64 COMMENT 'Probes that succeeded',
    success_share Nullable(Float64) COMMENT 'successes / probes, 0 to 1; NULL without probes',
    blocked UInt64 COMMENT 'Probes that could not connect because outbound port 25 is blocked',
    reason LowCardinality(String) COMMENT 'The most frequent reason of those without success; empty if there is none',
    last_probed_at DateTime64(3, 'UTC') COMMENT 'The last probe of the day',
    last_reason LowCardinality(String) COMMENT 'Its reason; empty on success',
    last_detail String COMMENT 'What it saw, in words',
    probes_with_starttls UInt64 COMMENT 'mx: probes that were offered STARTTLS',
    probes_without_starttls UInt64 COMMENT 'mx: probes that were not, though the server answered',
    certificates_refused UInt64 COMMENT 'mx: probes whose certificate was not trusted, out of date or for another host',
    certificate_not_after Nullable(DateTime64(0, 'UTC')) COMMENT 'mx: expiry of the certificate that was shown last; NULL if none was',
    certificate_names Array(String) COMMENT 'mx: names in the last certificate',
    tls_versions Array(String) COMMENT 'mx: TLS versions negotiated',
    tlsa LowCardinality(String) COMMENT 'mx: how TLSA and certificate agree, last seen; empty if not probed',
    sts_mode LowCardinality(String) COMMENT 'mta-sts: mode of the policy served last; empty if it could not be used',
    sts_max_age UInt32 COMMENT 'mta-sts: its max_age in seconds',
    sts_mx_hosts Array(String) COMMENT 'mta-sts: its mx patterns',
    policy_agrees Nullable(Bool) COMMENT 'mta-sts: it is the configured policy; NULL if unknown',
    record_agrees Nullable(Bool) COMMENT 'mta-sts: the record has the id of the configured policy; NULL if unknown',
    mx_covered Nullable(Bool) COMMENT 'mta-sts: it allows every MX; NULL if unknown'
)
SQL SECURITY DEFINER
AS
SELECT
    day, policy_domain, probe, record, subject, receiving_mx,
    if(address = toIPv6('::'), '', replaceRegexpOne(toString(address), '^::ffff:([0-9.]+)$', '\\1')) AS receiving_ip,
    probes, successes, if(probes = 0, NULL, successes / probes) AS success_share, blocked, reason,
    last.1 AS last_probed_at, last.2 AS last_reason, last.3 AS last_detail,
    probes_with_starttls, probes_without_starttls, certificates_refused, certificate_not_after,
    last.4 AS certificate_names, tls_versions, last.5 AS tlsa,
    last.6 AS sts_mode, last.7 AS sts_max_age, last.8 AS sts_mx_hosts,
    last.9 AS policy_agrees, last.10 AS record_agrees, last.11 AS mx_covered
FROM
(
    SELECT
        day, policy_domain, probe, record, subject, receiving_mx, receiving_ip AS address,
        countIf(results.reason != 'outbound-port-25-blocked') AS probes,
        countIf(success) AS successes,
        countIf(results.reason = 'outbound-port-25-blocked') AS blocked,
        topKIf(1)(results.reason, results.reason NOT IN ('', 'outbound-port-25-blocked'))[1] AS reason,
        argMax(
            (
                probed_at, results.reason, detail, results.certificate_names, results.tlsa,
                results.sts_mode, results.sts_max_age, results.sts_mx_hosts,
                results.policy_agrees, results.record_agrees, results.mx_covered
            ),
            probed_at
        ) AS last,
        countIf(starttls_offered = true) AS probes_with_starttls,
        countIf(starttls_offered = false) AS probes_without_starttls,
        countIf(certificate_valid = false) AS certificates_refused,
        argMax(results.certificate_not_after, probed_at) AS certificate_not_after,
        groupUniqArrayIf(toString(tls_version), tls_version != '') AS tls_versions
    FROM {tables}.probe_results AS results FINAL
    GROUP BY day, policy_domain, probe, record, subject, receiving_mx, receiving_ip
)
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'What our probes saw, one row per day and record, policy or server'
