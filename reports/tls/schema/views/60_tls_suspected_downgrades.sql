-- No report says "downgrade" (RFC 8460 knows only what one sender saw). One is suspected when a sender that had TLS with us
-- in the four weeks before now finds no STARTTLS. Many senders at once: our server broke. One sender, out of one network,
-- while others succeed the same day: somebody may sit in its path. Our own probes of that server that day are a witness too.
--
-- Only reporters that count in alerts, and no newcomer: a past can be made up in one burst of reports.
-- The last 60 days are looked at, because a filter on the day of a loss cannot reach the days before it. The others are
-- counted once for a domain and day: where a server lost STARTTLS, hundreds of senders find none on the same days.
CREATE OR REPLACE VIEW {views}.tls_suspected_downgrades {on_cluster}
(
    day Date COMMENT 'Report day (UTC), of the last 60',
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    organization LowCardinality(String) COMMENT 'What the sender that finds no STARTTLS calls itself: a caption',
    reporter LowCardinality(String) COMMENT 'The sender: an organizational domain',
    reporter_proven Bool COMMENT 'Whether that is proven by a signature',
    trust LowCardinality(String) COMMENT 'Why it is trusted: dkim, authserv, operator, mailbox, token',
    receiving_mx LowCardinality(String) COMMENT 'Our server that it reached, or meant to reach; empty if not reported',
    failed_sessions UInt64 COMMENT 'Sessions without STARTTLS',
    earlier_days_with_tls UInt64 COMMENT 'Report days, of the 28 before, on which it had TLS with the domain',
    other_reporters_succeeding UInt64 COMMENT 'Other senders that had TLS that day and found STARTTLS everywhere',
    other_reporters_failing UInt64 COMMENT 'Other senders that found no STARTTLS that day',
    sending_networks UInt64 COMMENT 'Networks (/24 or /48) that the sender came from; 0 if not reported',
    probes_with_starttls UInt64 COMMENT 'Our probes that found STARTTLS at that server that day',
    probes_without_starttls UInt64 COMMENT 'Our probes that did not, though the server answered',
    likelihood LowCardinality(String) COMMENT 'likely, possible, or server-fault (most senders see it, or our probes do)',
    evidence String COMMENT 'The same in words'
)
SQL SECURITY DEFINER
AS
WITH
    assumeNotNull((SELECT today FROM {views}.clock)) AS today,
    toStartOfMonth(today - 60 - 28) AS first_day,
    lost AS
    (
        SELECT
            day, policy_domain, any(organization) AS organization, reporter, any(reporter_proven) AS reporter_proven,
            {proof} AS proof, any(trust) AS shown_trust, receiving_mx, sum(failed_sessions) AS failed_sessions,
            -- /48 of IPv6, /24 of IPv4 (which is mapped into the last four bytes)
            uniqExactIf(cutIPv6(sending_mta_ip, 10, 1), sending_mta_ip != toIPv6('::')) AS sending_networks
        FROM {tables}.tls_failures FINAL
        WHERE category = 'starttls-not-supported' AND counts AND day >= today - 60
        GROUP BY day, policy_domain, reporter, proof, receiving_mx
    ),
    senders AS
    (
        -- Masks as in the table, put together: bit n is the day n days after the first one.
        SELECT
            policy_domain, reporter, {proof} AS proof, groupBitOr(bitShiftLeft(toUInt128(tls_days), month - first_day)) AS with_tls
        FROM {tables}.tls_sender_days
        WHERE month >= first_day AND (policy_domain, reporter, trust) IN (
            SELECT policy_domain, reporter, trust FROM {views}.tls_reporters WHERE counts AND standing != 'newcomer'
        )
        GROUP BY policy_domain, reporter, proof
    ),
    days_of_losses AS
    (
        SELECT
            policy_domain, reporter, proof, with_tls, losses,
            arrayJoin(groupUniqArrayArray(arrayMap(loss -> loss.1, losses)) OVER (PARTITION BY policy_domain)) AS day
        FROM senders
        LEFT JOIN
        (
            SELECT
                policy_domain, reporter, proof, groupArray(
                    (day, organization, reporter_proven, receiving_mx, failed_sessions, sending_networks, shown_trust)
                ) AS losses
            FROM lost
            GROUP BY policy_domain, reporter, proof
        ) AS of_sender USING (policy_domain, reporter, proof)
    ),
    counted AS
    (
        SELECT
            policy_domain, reporter, proof, with_tls, day, arrayFilter(loss -> loss.1 = day, losses) AS losses_of_day,
            countIf(notEmpty(losses_of_day)) OVER of_day AS failing,
            countIf(empty(losses_of_day) AND bitAnd(bitShiftRight(with_tls, day - first_day), 1) = 1) OVER of_day AS other_reporters_succeeding
        FROM days_of_losses
        WINDOW of_day AS (PARTITION BY policy_domain, day)
    ),
    probed AS
    (
        -- A sender that names no server is set against the probes of all servers of the domain.
        SELECT
            day, policy_domain, server AS mx,
            countIf(starttls_offered = true) AS probes_with_starttls,
            countIf(starttls_offered = false) AS probes_without_starttls
        FROM {tables}.probe_results FINAL
        ARRAY JOIN [toString(receiving_mx), ''] AS server
        WHERE probe = 'mx' AND day >= today - 60 AND (day, policy_domain) IN (SELECT day, policy_domain FROM lost)
        GROUP BY day, policy_domain, server
    )
SELECT
    day, policy_domain, loss.2 AS organization, reporter, loss.3 AS reporter_proven, loss.7 AS trust, loss.4 AS receiving_mx,
    loss.5 AS failed_sessions, earlier_days_with_tls, other_reporters_succeeding,
    failing - 1 AS other_reporters_failing, loss.6 AS sending_networks, probes_with_starttls, probes_without_starttls,
    multiIf(
        other_reporters_failing > 0 AND other_reporters_failing >= other_reporters_succeeding, 'server-fault',
        probes_without_starttls > 0 AND probes_without_starttls >= probes_with_starttls, 'server-fault',
        probes_without_starttls > 0, 'possible',
        other_reporters_failing = 0 AND sending_networks = 1
            AND (other_reporters_succeeding > 0 OR probes_with_starttls > 0), 'likely',
        'possible'
    ) AS likelihood,
    concat(
        'Found no STARTTLS in ', toString(failed_sessions), if(failed_sessions = 1, ' session', ' sessions'),
        ', after TLS on ', toString(earlier_days_with_tls), ' of the 28 days before. That day ',
        toString(other_reporters_succeeding), if(other_reporters_succeeding = 1, ' other sender', ' other senders'),
        ' found STARTTLS and ', toString(other_reporters_failing), ' did not. ',
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
FROM
(
    SELECT
        day, policy_domain, reporter, other_reporters_succeeding, failing, arrayJoin(losses_of_day) AS loss, loss.4 AS mx,
        arrayCount(bit -> first_day + bit < day AND first_day + bit >= day - 28, bitPositionsToArray(with_tls))
            AS earlier_days_with_tls
    FROM counted
) AS losing
LEFT JOIN probed ON probed.day = losing.day AND probed.policy_domain = losing.policy_domain AND probed.mx = losing.mx
WHERE earlier_days_with_tls > 0
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Senders that lost the STARTTLS they had: suspected downgrades, with evidence'
