-- No report says "downgrade" (RFC 8460 knows only what one sender saw). One is suspected when a sender that had TLS with us
-- in the four weeks before now finds no STARTTLS. Many senders at once: our server broke. One sender, out of one network,
-- while others succeed the same day: somebody may sit in its path.
CREATE OR REPLACE VIEW {database}.tls_suspected_downgrades {on_cluster}
(
    day Date COMMENT 'Report day (UTC)',
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    organization LowCardinality(String) COMMENT 'The sender that finds no STARTTLS',
    receiving_mx LowCardinality(String) COMMENT 'Our server that it reached, or thought to; empty if not reported',
    failed_sessions UInt64 COMMENT 'Sessions without STARTTLS',
    earlier_successful_sessions UInt64 COMMENT 'Its sessions with TLS in the 28 days before',
    other_organizations_succeeding UInt64 COMMENT 'Other senders that had TLS that day and found STARTTLS everywhere',
    other_organizations_failing UInt64 COMMENT 'Other senders that found no STARTTLS that day',
    sending_networks UInt64 COMMENT 'Networks (/24 or /48) that the sender came from; 0 if not reported',
    likelihood LowCardinality(String) COMMENT 'likely, possible, or server-fault (most senders see it)',
    evidence String COMMENT 'The same in words'
)
SQL SECURITY DEFINER
AS
WITH
    multiIf(
        other_organizations_failing > 0 AND other_organizations_failing >= other_organizations_succeeding, 'server-fault',
        other_organizations_failing = 0 AND other_organizations_succeeding > 0 AND sending_networks = 1, 'likely',
        'possible'
    ) AS verdict
SELECT
    day, policy_domain, organization, receiving_mx, failed_sessions,
    earlier_successful_sessions, other_organizations_succeeding, other_organizations_failing, sending_networks,
    verdict AS likelihood,
    concat(
        'Found no STARTTLS in ', toString(failed_sessions), ' sessions, after ', toString(earlier_successful_sessions),
        ' with TLS in the 28 days before. That day ', toString(other_organizations_succeeding), ' other senders found STARTTLS and ',
        toString(other_organizations_failing), ' did not. ',
        multiIf(sending_networks = 0, 'It does not say where it sent from.',
                sending_networks = 1, 'It sent from one network.',
                concat('It sent from ', toString(sending_networks), ' networks.'))
    ) AS evidence
FROM
(
    SELECT
        lost.day AS day,
        lost.policy_domain AS policy_domain,
        lost.organization AS organization,
        lost.receiving_mx AS receiving_mx,
        any(lost.failed_sessions) AS failed_sessions,
        any(lost.sending_networks) AS sending_networks,
        sumIf(seen.successful_sessions, seen.organization = lost.organization AND seen.day < lost.day) AS earlier_successful_sessions,
        uniqExactIf(
            seen.organization,
            seen.day = lost.day AND seen.successful_sessions > 0 AND NOT has(lost.organizations_failing, seen.organization)
        ) AS other_organizations_succeeding,
        any(length(lost.organizations_failing)) - 1 AS other_organizations_failing
    FROM
    (
        SELECT
            day, policy_domain, organization, receiving_mx, failed_sessions, sending_networks,
            groupUniqArray(organization) OVER (PARTITION BY policy_domain, day) AS organizations_failing
        FROM
        (
            SELECT
                day, policy_domain, organization, receiving_mx,
                sum(failed_sessions) AS failed_sessions,
                uniqExactIf(
                    cutIPv6(sending_mta_ip, 10, 1), sending_mta_ip != toIPv6('::')
                ) AS sending_networks
            FROM {database}.tls_failures FINAL
            WHERE category = 'starttls-not-supported' AND counts AND trust != 'none'
            GROUP BY day, policy_domain, organization, receiving_mx
        )
    ) AS lost
    INNER JOIN
    (
        SELECT day, policy_domain, organization, successful_sessions
        FROM {database}.tls_policies FINAL
        WHERE counts AND trust != 'none'
    ) AS seen ON seen.policy_domain = lost.policy_domain
    WHERE seen.day BETWEEN lost.day - 28 AND lost.day
    GROUP BY day, policy_domain, organization, receiving_mx
)
WHERE earlier_successful_sessions > 0
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Senders that lost the STARTTLS they had: suspected downgrades, with evidence'
