-- Why did it fail? What senders report of a server, beside what our own probes saw there on that day. A failure that names no
-- server stands beside the probes of all servers of the domain.
--
-- Failures and probes are put on top of each other, not joined: so a filter on day and domain reaches both, where a join would
-- read the whole history of probes, which is long. And of a day without failures no probe is read.
CREATE OR REPLACE VIEW {views}.tls_failures_with_probes {on_cluster}
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
    failed_sessions UInt64 COMMENT 'Sessions that failed',
    probes UInt64 COMMENT 'Our probes of that server that day, which could see it',
    probe_successes UInt64 COMMENT 'Probes that succeeded',
    probe_reason LowCardinality(String) COMMENT 'The most frequent reason of the others; empty if there is none',
    probes_with_starttls UInt64 COMMENT 'Probes that were offered STARTTLS',
    probes_without_starttls UInt64 COMMENT 'Probes that were not, though the server answered',
    certificate_not_after Nullable(DateTime64(0, 'UTC')) COMMENT 'Expiry of the certificate that probes saw there; NULL if none',
    policy_probes UInt64 COMMENT 'Our probes of the MTA-STS policy that day',
    policy_probe_successes UInt64 COMMENT 'Probes that succeeded',
    policy_probe_reason LowCardinality(String) COMMENT 'The most frequent reason of the others; empty if there is none',
    our_probes String COMMENT 'The same in words'
)
SQL SECURITY DEFINER
AS
WITH
    -- The last one is about the policy: it comes first where the policy failed.
    [
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
        multiIf(
            policy_probes > policy_probe_successes, concat(
                toString(policy_probes - policy_probe_successes), ' of ', toString(policy_probes), ' probes of the MTA-STS policy: ',
                policy_probe_reason, '.'
            ),
            policy_probes > 0 AND category = 'mta-sts-policy',
                concat('All ', toString(policy_probes), ' probes of the MTA-STS policy found nothing wrong.'),
            ''
        )
    ] AS sentences
SELECT
    day, policy_domain, failure.1 AS organization, failure.2 AS reporter, failure.3 AS reporter_proven, failure.4 AS trust,
    failure.5 AS category, failure.6 AS result_type, receiving_mx, failure.7 AS failed_sessions,
    probes, probe_successes, probe_reason, probes_with_starttls, probes_without_starttls, certificate_not_after,
    policy_probes, policy_probe_successes, policy_probe_reason,
    arrayStringConcat(
        arrayFilter(sentence -> sentence != '', if(category = 'mta-sts-policy', arrayRotateRight(sentences, 1), sentences)), ' '
    ) AS our_probes
FROM
(
    SELECT
        *,
        sum(policy_seen) OVER of_day AS policy_probes,
        sum(policy_good) OVER of_day AS policy_probe_successes,
        max(policy_reason) OVER of_day AS policy_probe_reason
    FROM
    (
        SELECT
            day, policy_domain, server AS receiving_mx,
            groupArrayIf(failure, kind = 'failure') AS failures,
            countIf(kind = 'mx' AND reason != 'outbound-port-25-blocked') AS probes,
            countIf(kind = 'mx' AND success) AS probe_successes,
            topKIf(1)(reason, kind = 'mx' AND reason NOT IN ('', 'outbound-port-25-blocked'))[1] AS probe_reason,
            countIf(starttls = true) AS probes_with_starttls,
            countIf(starttls = false) AS probes_without_starttls,
            min(not_after) AS certificate_not_after,
            countIf(kind = 'mta-sts') AS policy_seen,
            countIf(kind = 'mta-sts' AND success) AS policy_good,
            topKIf(1)(reason, kind = 'mta-sts' AND reason != '')[1] AS policy_reason
        FROM
        (
            SELECT
                day, policy_domain, toString(receiving_mx) AS server, 'failure' AS kind,
                (organization, reporter, reporter_proven, trust, category, result_type, sum(failed_sessions)) AS failure,
                false AS success, '' AS reason,
                CAST(NULL, 'Nullable(Bool)') AS starttls, CAST(NULL, 'Nullable(DateTime64(0, \'UTC\'))') AS not_after
            FROM {tables}.tls_failures FINAL
            WHERE counts
            GROUP BY day, policy_domain, organization, reporter, reporter_proven, trust, category, result_type, receiving_mx
            UNION ALL
            -- Each probe of a server also counts for failures that name none; the policy is the same for all of them.
            SELECT
                day, policy_domain, server, toString(probe), ('', '', false, '', '', '', 0),
                success, toString(results.reason), starttls_offered, results.certificate_not_after
            FROM {tables}.probe_results AS results FINAL
            ARRAY JOIN if(probe = 'mx', [toString(results.receiving_mx), ''], ['']) AS server
            WHERE probe IN ('mx', 'mta-sts')
              AND (day, policy_domain) IN (SELECT day, policy_domain FROM {tables}.tls_failures WHERE counts)
        )
        GROUP BY day, policy_domain, server
    )
    WINDOW of_day AS (PARTITION BY day, policy_domain)
)
ARRAY JOIN failures AS failure
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Failures as reported, each beside what our probes saw there that day'
