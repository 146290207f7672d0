-- May this domain's MTA-STS policy go to mode enforce (RFC 8461, section 5)? Not asked of parked domains. In mode testing senders report, and deliver,
-- what enforce would refuse. A policy that cannot be fetched or read is not applied at all, so those failures refuse nothing.
-- What our own last probes of the policy and the servers find wrong, and enforce would make worse, speaks against it too.
-- What speaks for it: somebody in the path of a sender, who removes STARTTLS. His mail is refused, and that is the purpose.
-- Of a domain that enforces already, what failed before in another mode is the past: it was fixed, or it would still fail.
CREATE OR REPLACE VIEW {views}.mta_sts_readiness{_at} {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    days UInt64 COMMENT 'Report days, of the last 30 before today, that a sender looked at the policy',
    sessions UInt64 COMMENT 'Sessions under the MTA-STS policy',
    would_be_refused UInt64 COMMENT 'Those that mode enforce refuses, or would have in another mode',
    reporters UInt64 COMMENT 'Senders that looked at the policy',
    last_mode LowCardinality(String) COMMENT 'Mode that senders saw last; empty if none looked',
    verdict LowCardinality(String) COMMENT 'ready (if already enforced: no fault was found), not-ready, or too-little-evidence',
    reasons Array(String) COMMENT 'Why'
)
SQL SECURITY DEFINER
AS
WITH
    assumeNotNull({end}) AS today,
    30 AS window_days, 7 AS enough_days, 2 AS enough_reporters, 50 AS enough_sessions, 0.001 AS bearable_share,
    -- No newcomer: thirty report days can be made up in one burst.
    counted AS (
        SELECT policy_domain, reporter, trust FROM {views}.tls_reporters WHERE counts AND standing != 'newcomer'
    ),
    greatest(toInt64(failed) - toInt64(without_policy), 0) AS refused,
    least(refused, greatest(toInt64(failed_in_force) - toInt64(without_policy_in_force), 0)) AS refused_in_force
SELECT
    policy_domain, days, sessions, toUInt64(refused) AS would_be_refused, reporters, last_mode,
    multiIf(
        if(
            last_mode = 'enforce',
            refused_in_force - downgraded_in_force > sessions_in_force * bearable_share,
            refused - downgraded > sessions * bearable_share
        ) OR notEmpty(faults), 'not-ready',
        days < enough_days OR reporters < enough_reporters OR sessions < enough_sessions, 'too-little-evidence',
        'ready'
    ) AS verdict,
    arrayFilter(reason -> reason != '', arrayConcat(
        [
            if(sessions = 0, 'No sender reported an MTA-STS policy in the last 30 days.', ''),
            multiIf(
                sessions = 0, '',
                refused = 0, concat(
                    'None of ', toString(sessions), ' sessions ', if(last_mode = 'enforce', 'was', 'would be'), ' refused.'
                ),
                refused_in_force = 0, concat(
                    toString(refused), ' of ', toString(sessions), ' sessions would ',
                    if(last_mode = 'enforce', 'have been refused, had mode enforce been there already.', 'be refused.')
                ),
                concat(
                    toString(refused_in_force), ' of ', toString(sessions), ' sessions ',
                    if(refused_in_force = 1, 'was', 'were'), ' refused',
                    if(refused = refused_in_force, '.', concat(
                        '; mode enforce would have refused ', toString(refused - refused_in_force),
                        ' more, which were in another mode.'
                    ))
                )
            ),
            if(downgraded > 0, concat(
                'In ', toString(downgraded), ' of them somebody between sender and server likely removed STARTTLS: mode enforce ',
                if(last_mode = 'enforce', 'keeps', 'would keep'), ' that mail from being read.'
            ), ''),
            if(sessions > 0 AND days < enough_days, concat('Only ', toString(days), ' report days; wait for ', toString(enough_days), '.'), ''),
            if(sessions > 0 AND reporters < enough_reporters, concat('Only ', toString(reporters), ' sender looked.'), ''),
            if(sessions BETWEEN 1 AND enough_sessions - 1, concat('Only ', toString(sessions), ' sessions.'), ''),
            if(without_policy > 0, concat(toString(without_policy), ' sessions could not read the policy and went on without it.'), '')
        ],
        causes,
        arrayMap(fault -> concat('Our last probe of ', fault.1, ': ', fault.2, '.'), faults)
    )) AS reasons
FROM (SELECT policy_domain FROM {tables}.configured_domains FINAL WHERE active AND NOT parked) AS configured
LEFT JOIN
(
    SELECT
        policy_domain,
        uniqExact(day) AS days,
        sum(successful_sessions + failed_sessions) AS sessions,
        sumIf(successful_sessions + failed_sessions, sts_mode = 'enforce') AS sessions_in_force,
        sum(failed_sessions) AS failed,
        sumIf(failed_sessions, sts_mode = 'enforce') AS failed_in_force,
        uniqExact(reporter, reporter_proven) AS reporters,
        argMaxIf(sts_mode, (day, sts_mode = 'enforce'), sts_mode != '') AS last_mode
    FROM {tables}.tls_policies FINAL
    WHERE policy_type = 'sts' AND (policy_domain, reporter, trust) IN (SELECT * FROM counted) AND day >= today - window_days AND day < today
    GROUP BY policy_domain
) AS applied USING (policy_domain)
LEFT JOIN
(
    SELECT
        policy_domain,
        sumIf(total, refuses_nothing) AS without_policy,
        sumIf(total_in_force, refuses_nothing) AS without_policy_in_force,
        sum(total_downgraded) AS downgraded,
        sum(total_downgraded_in_force) AS downgraded_in_force,
        arrayMap(
            cause -> concat(cause.2, ': ', toString(cause.1), ' sessions of ', toString(cause.3), if(cause.3 = 1, ' sender.', ' senders.')),
            arraySlice(arrayReverseSort(groupArrayIf((total, result_type, senders), NOT refuses_nothing)), 1, 5)
        ) AS causes
    FROM
    (
        WITH category = 'starttls-not-supported' AND is_likely AS is_downgrade
        SELECT
            policy_domain, result_type, sum(failed_sessions) AS total, uniqExact(reporter, reporter_proven) AS senders,
            sumIf(failed_sessions, sts_mode = 'enforce') AS total_in_force,
            sumIf(failed_sessions, is_downgrade) AS total_downgraded,
            sumIf(failed_sessions, is_downgrade AND sts_mode = 'enforce') AS total_downgraded_in_force,
            result_type IN (
                SELECT term FROM {tables}.failure_words FINAL WHERE kind = 'result-type' AND NOT refuses_mail
            ) AS refuses_nothing
        FROM {tables}.tls_failures AS failures FINAL
        LEFT JOIN
        (
            SELECT day, policy_domain, reporter, reporter_proven, receiving_mx, max(likelihood = 'likely') AS is_likely
            FROM {views}.tls_suspected_downgrades
            GROUP BY day, policy_domain, reporter, reporter_proven, receiving_mx
        ) AS suspected USING (day, policy_domain, reporter, reporter_proven, receiving_mx)
        WHERE policy_type = 'sts' AND (policy_domain, reporter, trust) IN (SELECT * FROM counted) AND day >= today - window_days AND day < today
        GROUP BY policy_domain, result_type
    )
    GROUP BY policy_domain
) AS broken_down USING (policy_domain)
LEFT JOIN
(
    -- As in attention, but the last probe alone is enough: whoever turns enforce on can wait for the next one. A server that is
    -- away is away in every mode, and what DNS or a closed port hides proves nothing.
    SELECT
        policy_domain,
        arraySlice(arraySort(groupUniqArrayArray(arrayMap(
            fault -> (if(seen_in = 'mx', subject, 'the policy'), fault),
            arrayFilter(
                fault -> cause IN (
                    'mx-not-covered', 'mx-certificate-invalid', 'mx-without-starttls', 'policy-unfetchable', 'policy-not-as-configured'
                ) OR fault IN ('starttls-refused', 'tls-failed', 'no-record', 'record-invalid'),
                found.faults
            )
        ))), 1, 5) AS faults
    FROM {views}.outside_findings{as_of} AS found
    WHERE seen_in IN ('mx', 'mta-sts')
    GROUP BY policy_domain
) AS probed USING (policy_domain)
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Is each domain ready for MTA-STS mode enforce?'
