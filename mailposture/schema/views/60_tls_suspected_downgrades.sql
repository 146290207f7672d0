-- No report says "downgrade" (RFC 8460 knows only what one sender saw). One is suspected when a sender that had TLS with us
-- in the four weeks before now finds no STARTTLS. Many senders at once: our server broke. One sender, out of one network,
-- while others succeed the same day: somebody may sit in its path. Our own probes of that server that day are a witness too.
--
-- What was seen before is read only for the domains that lost STARTTLS: they are few. The last 60 days are looked at,
-- because a filter on the day of a loss cannot reach the days before it. Senders are counted for a domain together: where
-- a server lost STARTTLS, hundreds find none on the same days.
CREATE OR REPLACE VIEW {database}.tls_suspected_downgrades {on_cluster}
(
    day Date COMMENT 'Report day (UTC), of the last 60',
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    organization LowCardinality(String) COMMENT 'The sender that finds no STARTTLS',
    receiving_mx LowCardinality(String) COMMENT 'Our server that it reached, or thought to; empty if not reported',
    failed_sessions UInt64 COMMENT 'Sessions without STARTTLS',
    earlier_successful_sessions UInt64 COMMENT 'Its sessions with TLS in the 28 days before',
    other_organizations_succeeding UInt64 COMMENT 'Other senders that had TLS that day and found STARTTLS everywhere',
    other_organizations_failing UInt64 COMMENT 'Other senders that found no STARTTLS that day',
    sending_networks UInt64 COMMENT 'Networks (/24 or /48) that the sender came from; 0 if not reported',
    probes_with_starttls UInt64 COMMENT 'Our probes that found STARTTLS at that server that day',
    probes_without_starttls UInt64 COMMENT 'Our probes that did not, though the server answered',
    likelihood LowCardinality(String) COMMENT 'likely, possible, or server-fault (most senders see it, or our probes do)',
    evidence String COMMENT 'The same in words'
)
SQL SECURITY DEFINER
AS
WITH
    lost AS
    (
        SELECT
            day, policy_domain, organization, receiving_mx, failed_sessions, sending_networks,
            uniqExact(organization) OVER (PARTITION BY day, policy_domain) AS failing
        FROM
        (
            SELECT
                day, policy_domain, organization, receiving_mx, sum(failed_sessions) AS failed_sessions,
                -- /48 of IPv6, /24 of IPv4 (which is mapped into the last four bytes)
                uniqExactIf(cutIPv6(sending_mta_ip, 10, 1), sending_mta_ip != toIPv6('::')) AS sending_networks
            FROM {database}.tls_failures FINAL
            WHERE category = 'starttls-not-supported' AND counts AND trust != 'none' AND day >= today() - 60
            GROUP BY day, policy_domain, organization, receiving_mx
        )
    ),
    seen AS
    (
        -- A row a sender: its days with TLS and how many sessions each, and how many senders had TLS on which days.
        SELECT
            policy_domain, organization, sumMap([day], [successful_sessions]) AS successes,
            sumMap(successes.1, arrayWithConstant(length(successes.1), 1)) OVER (PARTITION BY policy_domain) AS succeeding
        FROM {database}.tls_policies FINAL
        WHERE counts AND trust != 'none' AND successful_sessions > 0 AND day >= today() - 60 - 28
          AND policy_domain IN (SELECT policy_domain FROM lost)
        GROUP BY policy_domain, organization
    ),
    compared AS
    (
        SELECT
            day, policy_domain, organization, receiving_mx, failed_sessions, sending_networks, failing,
            arraySum((then, sessions) -> if(then < day AND then >= day - 28, sessions, 0), successes.1, successes.2)
                AS earlier_successful_sessions,
            has(successes.1, day) AS had_tls,
            succeeding.2[indexOf(succeeding.1, day)] AS succeeding_that_day
        FROM lost
        INNER JOIN seen USING (policy_domain, organization)
    ),
    probed AS
    (
        -- A sender that names no server is set against the probes of all servers of the domain.
        SELECT
            day, policy_domain, server AS receiving_mx,
            countIf(starttls_offered = true) AS probes_with_starttls,
            countIf(starttls_offered = false) AS probes_without_starttls
        FROM {database}.probe_results FINAL
        ARRAY JOIN [toString(receiving_mx), ''] AS server
        WHERE probe = 'mx' AND day >= today() - 60 AND (day, policy_domain) IN (SELECT day, policy_domain FROM lost)
        GROUP BY day, policy_domain, server
    )
SELECT
    day, policy_domain, organization, receiving_mx, failed_sessions, earlier_successful_sessions,
    succeeding_that_day - uniqExactIf(organization, had_tls) OVER (PARTITION BY day, policy_domain)
        AS other_organizations_succeeding,
    failing - 1 AS other_organizations_failing,
    sending_networks, probes_with_starttls, probes_without_starttls,
    multiIf(
        other_organizations_failing > 0 AND other_organizations_failing >= other_organizations_succeeding, 'server-fault',
        probes_without_starttls > 0 AND probes_without_starttls >= probes_with_starttls, 'server-fault',
        probes_without_starttls > 0, 'possible',
        other_organizations_failing = 0 AND sending_networks = 1
            AND (other_organizations_succeeding > 0 OR probes_with_starttls > 0), 'likely',
        'possible'
    ) AS likelihood,
    concat(
        'Found no STARTTLS in ', toString(failed_sessions), if(failed_sessions = 1, ' session', ' sessions'), ', after ',
        toString(earlier_successful_sessions), ' with TLS in the 28 days before. That day ',
        toString(other_organizations_succeeding), if(other_organizations_succeeding = 1, ' other sender', ' other senders'),
        ' found STARTTLS and ', toString(other_organizations_failing), ' did not. ',
        multiIf(
            sending_networks = 0, 'It does not say where it sent from.',
            sending_networks = 1, 'It sent from one network.',
            concat('It sent from ', toString(sending_networks), ' networks.')
        ),
        if(probes_with_starttls + probes_without_starttls = 0, '', concat(
            ' Our own probes found STARTTLS there ', toString(probes_with_starttls), ' of ',
            toString(probes_with_starttls + probes_without_starttls), ' times that day.'
        ))
    ) AS evidence
FROM compared
LEFT JOIN probed USING (day, policy_domain, receiving_mx)
QUALIFY earlier_successful_sessions > 0
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Senders that lost the STARTTLS they had: suspected downgrades, with evidence'
