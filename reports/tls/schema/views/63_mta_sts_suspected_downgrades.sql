-- Encryption can also be weakened a step earlier: who keeps a sender from our MTA-STS policy (from its DNS record or its
-- file) for longer than max_age has it send without one (RFC 8461, section 10.2). One is suspected when a sender that applied
-- the policy in mode enforce in the four weeks before reports sessions without it. Its mail may still be encrypted; but
-- nothing insists on it any more. Many senders at once: our record or policy is at fault, or we withdrew it.
--
-- Only reporters that count in alerts, and no newcomer: a past can be made up in one burst of reports.
--
-- A sender that has given MTA-STS up, or has servers without it, is no attack on us: it shows at several domains of ours
-- within a week. So `likely` is who stopped at one domain alone and goes on at another. A first day may be a slow answer
-- where no policy was remembered, hence two report days; and of many senders there is always one that gives MTA-STS up, so
-- five must apply the policy for each other one that stopped. Reports that a sender sent us are sessions without a policy too:
-- twice as many sessions as it reports domains of ours say nothing, for a record may name two addresses, and a report may take two tries.
CREATE OR REPLACE VIEW {views}.mta_sts_suspected_downgrades {on_cluster}
(
    day Date COMMENT 'Report day (UTC), of the last 60',
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    organization LowCardinality(String) COMMENT 'What the sender that stopped applying our policy calls itself: a caption',
    reporter LowCardinality(String) COMMENT 'The sender: an organizational domain',
    reporter_proven Bool COMMENT 'Whether that is proven by a signature',
    trust LowCardinality(String) COMMENT 'Why it is trusted: dkim, authserv, operator, mailbox, token',
    sessions UInt64 COMMENT 'Its sessions without the policy',
    last_applied_day Date COMMENT 'The last day, of the 28 before, on which it applied the policy in mode enforce',
    days_without UInt64 COMMENT 'Report days without the policy since then, this one included',
    other_reporters_applying UInt64 COMMENT 'Other senders that applied the policy that day',
    other_reporters_stopped UInt64 COMMENT 'Other senders that had applied it in the 28 days before and did not that day',
    applied_elsewhere Bool COMMENT 'Whether it applied the policy of another domain of ours that day, in whatever mode',
    domains_stopped UInt64 COMMENT 'Domains of ours at which it stopped in the week up to that day, this one included',
    probes_with_policy UInt64 COMMENT 'Our probes that day that found the record, and the policy in mode enforce',
    probes_without_policy UInt64 COMMENT 'Our probes that day that did not',
    likelihood LowCardinality(String) COMMENT 'likely, possible, sender-change (it stopped at several domains), or server-fault (most senders did, or our probes found no policy)',
    evidence String COMMENT 'The same in words'
)
SQL SECURITY DEFINER
AS
WITH
    assumeNotNull((SELECT today FROM {views}.clock)) AS today,
    toStartOfMonth(today - 60 - 28) AS first_day,
    masks AS
    (
        -- Masks as in the table, put together: bit n is the day n days after the first one.
        SELECT
            policy_domain, reporter, {proof} AS proof,
            groupBitOr(bitShiftLeft(toUInt128(enforced_days), month - first_day)) AS applied,
            groupBitOr(bitShiftLeft(toUInt128(bitOr(enforced_days, other_mode_days)), month - first_day)) AS in_any_mode,
            groupBitOr(bitShiftLeft(toUInt128(bitOr(bitOr(enforced_days, other_mode_days), dane_days)), month - first_day)) AS protected,
            groupBitOr(bitShiftLeft(toUInt128(unread_days), month - first_day)) AS unread,
            groupArrayArray(arrayMap(
                (number, sessions) -> (toUInt16(month - first_day + number - 1), sessions), unfound_sessions.1, unfound_sessions.2
            )) AS unfound,
            -- It reports each of our domains, and may send all these reports to one of them.
            count() OVER (PARTITION BY reporter, proof) AS own_reports
        FROM {tables}.tls_sender_days
        WHERE month >= first_day
        GROUP BY policy_domain, reporter, proof
    ),
    missing AS
    (
        SELECT
            policy_domain, reporter, proof, applied, in_any_mode,
            arrayFilter(
                bit -> bitAnd(bitShiftRight(protected, bit), 1) = 0,
                arraySort(arrayDistinct(arrayConcat(
                    bitPositionsToArray(unread),
                    arrayMap(each -> each.1, arrayFilter(each -> each.2 > 2 * own_reports, unfound))
                )))
            ) AS missed
        FROM masks
    ),
    senders AS
    (
        -- It stopped on a day without the policy, with one of the 28 days before on which it applied it.
        SELECT
            *, arrayFilter(
                bit -> first_day + bit >= today - 60 AND bitAnd(bitShiftRight(applied, bit - 28), 268435455) != 0, missed
            ) AS stopped
        FROM missing
    ),
    lost AS
    (
        SELECT policy_domain, reporter, proof, first_day + bit AS day
        FROM senders
        ARRAY JOIN stopped AS bit
    ),
    days_of_stops AS
    (
        -- What is applied anywhere on a day that it was lost at one domain, is applied at another.
        SELECT
            *, groupBitOr(in_any_mode) OVER (PARTITION BY reporter, proof) AS anywhere,
            arrayJoin(arrayFilter(
                bit -> has(stopped, bit) OR bitAnd(bitShiftRight(applied, bit), 1) = 1,
                groupUniqArrayArray(stopped) OVER (PARTITION BY policy_domain)
            )) AS bit
        FROM senders
        LEFT JOIN
        (
            SELECT DISTINCT policy_domain, reporter, {proof} AS proof, true AS is_witness
            FROM {views}.tls_reporters
            WHERE counts AND standing != 'newcomer'
        ) AS witnesses USING (policy_domain, reporter, proof)
    ),
    compared AS
    (
        -- Others are those that count in alerts; at how many domains a sender stopped, in the six days before too, is of all.
        SELECT
            policy_domain, reporter, proof, applied, missed, anywhere, bit, first_day + bit AS day, is_witness,
            has(stopped, bit) AS has_stopped,
            countIf(is_witness AND NOT has_stopped) OVER of_day AS other_reporters_applying,
            countIf(is_witness AND has_stopped) OVER of_day - 1 AS other_reporters_stopped,
            uniqExactIf(policy_domain, has_stopped) OVER (
                PARTITION BY reporter, proof ORDER BY bit RANGE BETWEEN 6 PRECEDING AND CURRENT ROW
            ) AS domains_stopped
        FROM days_of_stops
        WINDOW of_day AS (PARTITION BY policy_domain, bit)
    ),
    counted AS
    (
        SELECT
            day, policy_domain, any(organization) AS organization, reporter, any(reporter_proven) AS reporter_proven,
            {proof} AS proof, any(trust) AS shown_trust, sum(successful_sessions + failed_sessions) AS sessions
        FROM {tables}.tls_policies FINAL
        WHERE counts AND day >= today - 60 AND reported_policy_domain = policy_domain
          AND (day, policy_domain, reporter, proof) IN (SELECT day, policy_domain, reporter, proof FROM lost)
        GROUP BY day, policy_domain, reporter, proof
    ),
    probed AS
    (
        WITH sts_mode = 'enforce' AND sts_record_id != '' AS with_policy
        SELECT
            day, policy_domain,
            countIf(with_policy) AS probes_with_policy,
            -- What DNS or time hid from a probe proves nothing.
            countIf(NOT with_policy AND reason NOT IN ('dns-error', 'probe-timeout', 'probe-error'))
                AS probes_without_policy
        FROM {tables}.probe_results FINAL
        WHERE probe = 'mta-sts' AND day >= today - 60 AND (day, policy_domain) IN (SELECT day, policy_domain FROM lost)
        GROUP BY day, policy_domain
    )
SELECT
    day, policy_domain, organization, reporter, reporter_proven, shown_trust AS trust, sessions,
    first_day + arrayMax(arrayFilter(each -> each < bit, bitPositionsToArray(applied))) AS last_applied_day,
    arrayCount(each -> first_day + each > last_applied_day AND each <= bit, missed) AS days_without,
    other_reporters_applying, other_reporters_stopped, bitAnd(bitShiftRight(anywhere, bit), 1) = 1 AS applied_elsewhere, domains_stopped,
    probes_with_policy, probes_without_policy,
    multiIf(
        other_reporters_stopped > 0 AND other_reporters_stopped >= other_reporters_applying, 'server-fault',
        probes_without_policy > 0 AND probes_without_policy >= probes_with_policy, 'server-fault',
        domains_stopped > 1, 'sender-change',
        probes_without_policy > 0, 'possible',
        other_reporters_stopped * 5 <= other_reporters_applying AND applied_elsewhere AND days_without > 1
            AND (other_reporters_applying > 0 OR probes_with_policy > 0), 'likely',
        'possible'
    ) AS likelihood,
    concat(
        'Had ', toString(sessions), if(sessions = 1, ' session', ' sessions'),
        ' without our MTA-STS policy, which it last applied on ', toString(last_applied_day), ': ',
        if(days_without = 1, 'the first report day without it', concat(toString(days_without), ' report days without it')),
        '. That day ', toString(other_reporters_applying),
        if(other_reporters_applying = 1, ' other sender', ' other senders'), ' applied it and ',
        toString(other_reporters_stopped), ' had stopped. ',
        if(domains_stopped > 1, concat('Within the week it stopped at ', toString(domains_stopped), ' domains of ours. '), ''),
        if(applied_elsewhere, 'It applied the policy of another domain of ours.',
            'It applied the policy of no other domain of ours: it may have stopped for everybody.'),
        if(probes_with_policy + probes_without_policy = 0, '', concat(
            ' Our own probes found the policy ', toString(probes_with_policy), ' of ',
            toString(probes_with_policy + probes_without_policy), ' times that day.'
        ))
    ) AS evidence
FROM compared
INNER JOIN counted USING (day, policy_domain, reporter, proof)
LEFT JOIN probed USING (day, policy_domain)
WHERE has_stopped AND is_witness
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Senders that stopped applying our enforced MTA-STS policy: suspected downgrades, with evidence'
