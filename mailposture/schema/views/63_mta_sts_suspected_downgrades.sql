-- Encryption can also be weakened a step earlier: who keeps a sender from our MTA-STS policy (from its DNS record or its
-- file) for longer than max_age has it send without one (RFC 8461, section 10.2). One is suspected when a sender that applied
-- the policy in mode enforce in the four weeks before reports sessions without it. Its mail may still be encrypted; but
-- nothing insists on it any more. Many senders at once: our record or policy is at fault, or we withdrew it.
--
-- A sender that no longer looks at anybody's policy is no attack on us. It is told apart by what it applies at our other
-- domains that day. A first day may be a slow answer where no policy was remembered; so `likely` takes two report days.
CREATE OR REPLACE VIEW {database}.mta_sts_suspected_downgrades {on_cluster}
(
    day Date COMMENT 'Report day (UTC), of the last 60',
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    organization LowCardinality(String) COMMENT 'The sender that stopped applying our policy',
    sessions UInt64 COMMENT 'Its sessions without the policy',
    last_applied_day Date COMMENT 'The last day, of the 28 before, on which it applied the policy in mode enforce',
    days_without UInt64 COMMENT 'Report days without the policy since then, this one included',
    other_organizations_applying UInt64 COMMENT 'Other senders that applied the policy that day',
    other_organizations_stopped UInt64 COMMENT 'Other senders that had applied it in the 28 days before and did not that day',
    applied_elsewhere Bool COMMENT 'Whether it applied the enforced policy of another domain of ours that day',
    probes_with_policy UInt64 COMMENT 'Our probes that day that found the record, and the policy in mode enforce',
    probes_without_policy UInt64 COMMENT 'Our probes that day that did not',
    likelihood LowCardinality(String) COMMENT 'likely, possible, or server-fault (most senders stopped, or our probes found no policy)',
    evidence String COMMENT 'The same in words'
)
SQL SECURITY DEFINER
AS
WITH
    months AS
    (
        SELECT
            policy_domain, organization, month,
            groupBitOr(enforced_days) AS enforced,
            bitAnd(groupBitOr(without_days), bitNot(bitOr(enforced, groupBitOr(excused_days)))) AS without
        FROM {database}.mta_sts_applied_days
        WHERE month >= toStartOfMonth(today() - 60 - 28)
        GROUP BY policy_domain, organization, month
    ),
    -- Most senders apply the policy every day, or never: few did both.
    changed AS
    (
        SELECT policy_domain, organization
        FROM months
        GROUP BY policy_domain, organization
        HAVING groupBitOr(enforced) != 0 AND groupBitOr(without) != 0
    ),
    senders AS
    (
        SELECT
            policy_domain, organization,
            arrayFlatten(groupArray(arrayMap(bit -> month + bit, bitPositionsToArray(enforced)))) AS applied,
            arrayFlatten(groupArray(arrayMap(bit -> month + bit, bitPositionsToArray(without)))) AS missed,
            arrayFilter(day -> arrayExists(before -> before < day AND before >= day - 28, applied), missed) AS stopped
        FROM months
        WHERE policy_domain IN (SELECT policy_domain FROM changed)
        GROUP BY policy_domain, organization
    ),
    lost AS
    (
        SELECT policy_domain, organization, day, applied, missed
        FROM senders
        ARRAY JOIN stopped AS day
        WHERE day >= today() - 60
    ),
    others AS
    (
        SELECT policy_domain, groupArray((applied, stopped)) AS everybody
        FROM senders
        GROUP BY policy_domain
    ),
    elsewhere AS
    (
        SELECT organization, groupUniqArrayArray(arrayMap(bit -> month + bit, bitPositionsToArray(enforced))) AS applied_anywhere
        FROM months
        WHERE organization IN (SELECT organization FROM changed)
        GROUP BY organization
    ),
    counted AS
    (
        SELECT day, policy_domain, organization, sum(successful_sessions + failed_sessions) AS sessions
        FROM {database}.tls_policies FINAL
        WHERE counts AND trust != 'none' AND day >= today() - 60 AND reported_policy_domain = policy_domain
          AND (day, policy_domain, organization) IN (SELECT day, policy_domain, organization FROM lost)
        GROUP BY day, policy_domain, organization
    ),
    probed AS
    (
        SELECT
            day, policy_domain,
            countIf(sts_mode = 'enforce' AND sts_record_id != '') AS probes_with_policy,
            -- What DNS or time hid from a probe proves nothing.
            count() - probes_with_policy - countIf(reason IN ('dns-error', 'probe-timeout', 'probe-error'))
                AS probes_without_policy
        FROM {database}.probe_results FINAL
        WHERE probe = 'mta-sts' AND day >= today() - 60 AND (day, policy_domain) IN (SELECT day, policy_domain FROM lost)
        GROUP BY day, policy_domain
    )
SELECT
    day, policy_domain, organization, sessions,
    arrayMax(arrayFilter(each -> each < day, applied)) AS last_applied_day,
    arrayCount(each -> each > last_applied_day AND each <= day, missed) AS days_without,
    arrayCount(each -> has(each.1, day), everybody) AS other_organizations_applying,
    arrayCount(each -> has(each.2, day), everybody) - 1 AS other_organizations_stopped,
    has(applied_anywhere, day) AS applied_elsewhere,
    probes_with_policy, probes_without_policy,
    multiIf(
        other_organizations_stopped > 0 AND other_organizations_stopped >= other_organizations_applying, 'server-fault',
        probes_without_policy > 0 AND probes_without_policy >= probes_with_policy, 'server-fault',
        probes_without_policy > 0, 'possible',
        other_organizations_stopped = 0 AND applied_elsewhere AND days_without > 1
            AND (other_organizations_applying > 0 OR probes_with_policy > 0), 'likely',
        'possible'
    ) AS likelihood,
    concat(
        'Had ', toString(sessions), if(sessions = 1, ' session', ' sessions'),
        ' without our MTA-STS policy, which it last applied on ', toString(last_applied_day), ': ',
        if(days_without = 1, 'the first report day without it', concat(toString(days_without), ' report days without it')),
        '. That day ', toString(other_organizations_applying), ' other senders applied it and ',
        toString(other_organizations_stopped), ' had stopped. ',
        if(applied_elsewhere, 'It applied the policy of another domain of ours.',
            'It applied no policy of any domain of ours: it may have stopped for everybody.'),
        if(probes_with_policy + probes_without_policy = 0, '', concat(
            ' Our own probes found the policy ', toString(probes_with_policy), ' of ',
            toString(probes_with_policy + probes_without_policy), ' times that day.'
        ))
    ) AS evidence
FROM lost
INNER JOIN others USING (policy_domain)
INNER JOIN counted USING (day, policy_domain, organization)
LEFT JOIN elsewhere USING (organization)
LEFT JOIN probed USING (day, policy_domain)
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Senders that stopped applying our enforced MTA-STS policy: suspected downgrades, with evidence'
