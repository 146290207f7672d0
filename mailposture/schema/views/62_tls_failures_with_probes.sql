-- Why did it fail? What senders report of a server, beside what our own probes saw there on that day. A failure that names no
-- server stands beside the probes of all servers of the domain.
CREATE OR REPLACE VIEW {database}.tls_failures_with_probes {on_cluster}
(
    day Date COMMENT 'Report day (UTC)',
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    organization LowCardinality(String) COMMENT 'Who reports',
    category LowCardinality(String) COMMENT 'What kind of failure; see failure_meanings',
    result_type LowCardinality(String) COMMENT 'result-type as reported',
    receiving_mx LowCardinality(String) COMMENT 'Our server; empty if not reported',
    failed_sessions UInt64 COMMENT 'Sessions that failed',
    probes UInt64 COMMENT 'Our probes of that server that day, which could see it',
    probe_successes UInt64 COMMENT 'Those that found nothing to complain of',
    probe_reason LowCardinality(String) COMMENT 'The most frequent reason of the others; empty if there is none',
    probes_with_starttls UInt64 COMMENT 'Probes that were offered STARTTLS',
    probes_without_starttls UInt64 COMMENT 'Probes that were not, though the server answered',
    certificate_not_after Nullable(DateTime64(0, 'UTC')) COMMENT 'Expiry of the certificate that probes saw there; NULL if none',
    policy_probes UInt64 COMMENT 'Our probes of the MTA-STS policy that day',
    policy_probe_successes UInt64 COMMENT 'Those that found nothing to complain of',
    policy_probe_reason LowCardinality(String) COMMENT 'The most frequent reason of the others; empty if there is none',
    our_probes String COMMENT 'The same in words'
)
SQL SECURITY DEFINER
AS
SELECT
    day, policy_domain, organization, category, result_type, receiving_mx, failed_sessions,
    probes, probe_successes, probe_reason, probes_with_starttls, probes_without_starttls, certificate_not_after,
    policy_probes, policy_probe_successes, policy_probe_reason,
    arrayStringConcat(arrayFilter(sentence -> sentence != '', [
        if(probes = 0, 'No probe of ours saw the server that day.', concat(
            toString(probe_successes), ' of ', toString(probes), ' probes of the server found nothing wrong',
            if(probe_reason = '', '', concat('; the others: ', probe_reason)), '.'
        )),
        if(probes_without_starttls = 0, '', concat(
            toString(probes_without_starttls), ' of ', toString(probes_with_starttls + probes_without_starttls), ' found no STARTTLS.'
        )),
        if(certificate_not_after IS NULL, '', concat(
            'Its certificate ', if(toDate(assumeNotNull(certificate_not_after)) <= day, 'expired on ', 'expires on '),
            toString(toDate(assumeNotNull(certificate_not_after))), '.'
        )),
        if(policy_probes = policy_probe_successes, '', concat(
            toString(policy_probes - policy_probe_successes), ' of ', toString(policy_probes), ' probes of the MTA-STS policy: ', policy_probe_reason, '.'
        ))
    ]), ' ') AS our_probes
FROM
(
    SELECT day, policy_domain, organization, category, result_type, receiving_mx, sum(failed_sessions) AS failed_sessions
    FROM {database}.tls_failures FINAL
    WHERE counts
    GROUP BY day, policy_domain, organization, category, result_type, receiving_mx
) AS reported
LEFT JOIN
(
    SELECT
        day, policy_domain, server AS receiving_mx,
        countIf(results.reason != 'outbound-port-25-blocked') AS probes,
        countIf(success) AS probe_successes,
        topKIf(1)(results.reason, results.reason NOT IN ('', 'outbound-port-25-blocked'))[1] AS probe_reason,
        countIf(starttls_offered = true) AS probes_with_starttls,
        countIf(starttls_offered = false) AS probes_without_starttls,
        min(results.certificate_not_after) AS certificate_not_after
    FROM {database}.probe_results AS results FINAL
    ARRAY JOIN [toString(receiving_mx), ''] AS server
    WHERE probe = 'mx'
    GROUP BY day, policy_domain, server
) AS of_server USING (day, policy_domain, receiving_mx)
LEFT JOIN
(
    SELECT
        day, policy_domain, count() AS policy_probes, countIf(success) AS policy_probe_successes,
        topKIf(1)(results.reason, results.reason != '')[1] AS policy_probe_reason
    FROM {database}.probe_results AS results FINAL
    WHERE probe = 'mta-sts'
    GROUP BY day, policy_domain
) AS of_policy USING (day, policy_domain)
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Failures as reported, each beside what our probes saw there that day'
