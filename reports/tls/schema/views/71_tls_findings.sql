-- What reports find wrong with each of our domains as of a day, before anything is judged: attention_at compares it with the
-- domain's thresholds. Of a parked domain one thing is: that it gets mail at all. No newcomer counts for more in a cause than the second largest of them.
CREATE OR REPLACE VIEW {views}.tls_findings{_at} {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    cause String COMMENT 'What is wrong, or may be',
    subject String COMMENT 'The server or sender; empty for the whole domain',
    severity String COMMENT 'critical, warning or info; empty if the cause decides',
    judged_by String COMMENT 'What it is compared with: attention says how',
    since Date COMMENT 'First day of this run',
    affected UInt64 COMMENT 'Sessions that it is about',
    of UInt64 COMMENT 'Of how many sessions to the domain',
    detail String COMMENT 'More in words',
    seen_by Array(String) COMMENT 'Reporters that say so, twenty at most'
)
SQL SECURITY DEFINER
AS
WITH
    assumeNotNull({end}) AS until, until - 3 AS latest, until - 31 AS known_start,
    -- What was likely of a sender one of the latest days stays so while it is suspected: its report of yesterday may come hours
    -- before those of the senders to compare it with, and an alert must not end and begin again for that.
    suspected AS
    (
        SELECT
            policy_domain, reporter, {proof} AS proof,
            maxIf(is_likely, without = 'starttls') AS likely_downgrade, argMaxIf(evidence, day, without = 'starttls') AS downgrade_evidence,
            groupArrayIf((day, mx), without = 'starttls') AS places,
            maxIf(is_likely, without = 'policy') AS likely_without, argMaxIf(evidence, day, without = 'policy') AS without_evidence,
            groupArrayIf((day, sessions), without = 'policy') AS losses
        FROM
        (
            SELECT
                'starttls' AS without, policy_domain, reporter, trust, day, likelihood = 'likely' AND day >= latest AS is_likely,
                evidence, toString(receiving_mx) AS mx, failed_sessions AS sessions
            FROM {views}.tls_suspected_downgrades
            WHERE day >= known_start AND day < until AND likelihood IN ('likely', 'possible')
            UNION ALL
            SELECT
                'policy', policy_domain, reporter, trust, day, likelihood = 'likely' AND day >= latest, evidence, '', sessions
            FROM {views}.mta_sts_suspected_downgrades
            WHERE day >= known_start AND day < until AND likelihood IN ('likely', 'possible')
        )
        GROUP BY policy_domain, reporter, proof
    ),
    senders AS
    (
        SELECT *, sum(counted_successful + counted_failed) OVER (PARTITION BY policy_domain) AS of_sessions
        FROM {views}.tls_last_words{as_of} AS last_words
        INNER JOIN (SELECT policy_domain, parked FROM {views}.domains) AS ours USING (policy_domain)
        LEFT JOIN suspected USING (policy_domain, reporter, proof)
    ),
    days_of_senders AS
    (
        SELECT
            policy_domain, reporter, proof, name, is_new, has_past, of_sessions, weight, last_day, parked,
            toFloat64(if(day = last_day, counted_successful + counted_failed, 0)) AS sessions_now,
            likely_downgrade, downgrade_evidence, places, likely_without, without_evidence,
            each.1 AS day, each.2 AS failed, each.3 AS refused, each.5 AS now,
            arrayFilter(failure -> failure.1 = 'starttls-not-supported' AND has(places, (day, failure.2)), each.4) AS suspected,
            arrayFilter(failure -> NOT (likely_downgrade AND has(suspected, failure)), each.4) AS failures,
            arrayFilter(loss -> loss.1 = day, losses) AS losses_of_day
        FROM senders
        ARRAY JOIN days AS each
    ),
    items AS
    (
        -- (cause, subject, sessions, now). A session without STARTTLS that is likely a downgrade is nothing else.
        SELECT
            policy_domain, reporter, proof, name, is_new, has_past, of_sessions, day,
            likely_downgrade, downgrade_evidence, likely_without, without_evidence,
            arrayJoin(if(parked, [('parked-gets-mail', '', sessions_now, day = last_day)], arrayConcat(
                [('failure-ratio', '', failed * weight, now), ('mail-refused', '', toFloat64(refused), now)],
                arrayMap(failure -> (failure.1, failure.2, toFloat64(failure.3), now), failures),
                arrayMap(
                    failure -> ('suspected-downgrade', toString(reporter), toFloat64(failure.3), day = last_day), suspected),
                arrayMap(
                    failure -> ('server-newly-failing', failure.2, toFloat64(failure.3), day >= latest),
                    arrayFilter(failure -> failure.2 != '', failures)
                ),
                arrayMap(loss -> ('mta-sts-not-applied', toString(reporter), toFloat64(loss.2), day = last_day), losses_of_day)
            ))) AS item
        FROM days_of_senders
    ),
    by_sender AS
    (
        SELECT
            policy_domain, item.1 AS cause, reporter, proof, any(name) AS name, any(is_new) AS is_new, any(has_past) AS has_past,
            any(of_sessions) AS of_sessions, sumIf(item.3, item.4) AS total,
            multiIf(cause = 'suspected-downgrade', any(likely_downgrade), cause = 'mta-sts-not-applied', any(likely_without), 0)
                AS likely,
            multiIf(cause = 'suspected-downgrade', any(downgrade_evidence), cause = 'mta-sts-not-applied', any(without_evidence), '')
                AS evidence,
            groupArray((item.2, day, item.3, item.4)) AS parts
        FROM items
        WHERE item.3 > 0
        GROUP BY policy_domain, cause, reporter, proof
    ),
    capped AS
    (
        SELECT *, -(groupArraySortedIf(2)(-total, is_new) OVER (PARTITION BY policy_domain, cause))[2] AS second
        FROM by_sender
    ),
    weighted AS
    (
        SELECT *, multiIf(NOT is_new, 1, total = 0, 0, least(1, second / total)) AS weight
        FROM capped
    ),
    found AS
    (
        SELECT
            policy_domain, cause, part.1 AS subject, max(likely) AS likely, argMax(evidence, part.2) AS detail,
            sumMap([part.2], [part.3 * weight]) AS by_day, sumMapIf([part.2], [part.3 * weight], part.4) AS by_day_now,
            round(sumIf(part.3 * weight, part.4)) AS affected,
            any(of_sessions) AS of_sessions, arraySort(groupUniqArrayIf(20)(name, part.4)) AS seen_by
        FROM weighted
        ARRAY JOIN parts AS part
        GROUP BY policy_domain, cause, subject
        HAVING affected > 0 AND (cause != 'server-newly-failing' OR (any(has_past) AND min(part.2) >= latest))
    ),
    lasting AS
    (
        -- Days with a tenth of the worst that counts now, so that background noise does not count; that one is among them.
        SELECT *, arrayFilter((day, sessions) -> sessions * 10 >= arrayMax(by_day_now.2), by_day.1, by_day.2) AS bad_days
        FROM found
    )
SELECT
    policy_domain, cause, subject,
    multiIf(
        cause = 'suspected-downgrade', if(likely = 1, 'critical', 'warning'),
        cause = 'mta-sts-not-applied', if(likely = 1, 'warning', 'info'),
        ''
    ) AS severity,
    multiIf(
        cause IN ('suspected-downgrade', 'mta-sts-not-applied'), 'any',
        cause = 'server-newly-failing', 'sessions-of-subject',
        cause IN ('mail-refused', 'parked-gets-mail'), 'sessions',
        'share'
    ) AS judged_by,
    -- The first day of the last run, whose days are no more than three apart.
    arrayLast((day, before) -> day - before > 3, bad_days, arrayPushFront(arrayPopBack(bad_days), toDate(0))) AS since,
    toUInt64(affected) AS affected, toUInt64(round(of_sessions)) AS of, detail, seen_by
FROM lasting
COMMENT 'What reports find wrong, before it is judged; query attention'
