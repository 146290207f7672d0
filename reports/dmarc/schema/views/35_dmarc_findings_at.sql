-- What DMARC reports find wrong with mail in the name of each of our domains as of a day, before anything is judged: attention_at
-- compares it with the domain's thresholds. In messages of reporters that count (dmarc_reporters), and where nobody but newcomers
-- counts, two of them must have seen it: forged reports neither page nor hide.
--
-- An unknown source that comes back (on three days, or after a week; two reporters, ten messages), and that receivers did not refuse of their own
-- accord, may be a vendor whom nobody remembers: forgers change their addresses. It waits for somebody to name it under `senders:`, or
-- to acknowledge it (cause dmarc-unknown-source) as not ours.
--
-- Of a parked domain each source whose mail passes is one, since nobody is to send; and what fails is forged for certain, so that what
-- is delivered of it because a record is weak is compared with the minimum alone.
--
-- A source is judged by its own mail, of the three days up to the last on which it sent, within the last week: a newsletter goes
-- out when it does. One with less mail than the domain's minimum is judged by four weeks. It is over once the source's newest two
-- days are clean.
CREATE OR REPLACE VIEW {views}.dmarc_findings_at {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    cause String COMMENT 'What is wrong, or may be',
    subject String COMMENT 'The source; empty for the whole domain',
    severity String COMMENT 'critical, warning or info; empty if the cause decides',
    judged_by String COMMENT 'What it is compared with: attention says how',
    since Nullable(Date) COMMENT 'First day of this run',
    affected UInt64 COMMENT 'Messages that it is about',
    of UInt64 COMMENT 'Of how many messages; 0 where that means nothing',
    detail String COMMENT 'More in words',
    seen_by Array(String) COMMENT 'Reporters that say so, twenty at most'
)
SQL SECURITY DEFINER
AS
WITH
    assumeNotNull({{end:Date}}) AS until, until - 3 AS latest, until - 7 AS lately, until - 31 AS known_start,
    witnesses AS
    (
        SELECT policy_domain, max(standing != 'newcomer') AS anybody_is_known
        FROM {views}.dmarc_reporters
        WHERE counts
        GROUP BY policy_domain
    ),
    source_days AS
    (
        SELECT
            policy_domain, source, day,
            sumIf(counted_messages, pile = 'aligned') AS aligned,
            sumIf(counted_messages, pile = 'forwarded') AS forwarded,
            sumIf(counted_messages, pile = 'ours-failing') AS failing,
            sumIf(counted_messages, pile = 'ours-failing' AND delivered_messages = 0) AS refused,
            sumIf(counted_messages, pile = 'unknown') AS unknown,
            sumIf(counted_messages, pile = 'unknown' AND delivered_messages > 0) AS delivered,
            policy_domain IN (SELECT policy_domain FROM {views}.domains WHERE parked) AS is_parked,
            sumIf(
                counted_messages,
                pile = 'unknown' AND delivered_messages > 0 AND passed_messages = 0 AND NOT possibly_ours
                    AND (published_policy = 'none' OR (is_parked AND published_policy != 'reject'))
            ) AS unprotected,
            sumIf(counted_messages, is_parked AND passed_messages > 0) AS passing,
            sumIf(counted_messages, is_parked AND spf_aligned_messages > 0) AS passing_spf,
            sumIf(counted_messages, pile = 'unknown' AND published_policy = 'none' AND delivered_messages = 0) AS refused_unasked,
            argMaxIf(daily.reason, (counted_messages, daily.reason), pile = 'ours-failing') AS failing_reason,
            argMaxIf(daily.evidence, (counted_messages, daily.evidence), pile = 'unknown') AS why_unknown,
            groupUniqArrayArray(daily.counted_reporters) AS saw,
            groupUniqArrayArrayIf(daily.counted_reporters, pile = 'unknown') AS saw_unknown
        FROM {views}.dmarc_sources_daily AS daily
        WHERE day >= known_start AND day < until AND counted_messages > 0
        GROUP BY policy_domain, source, day
    ),
    sources AS
    (
        SELECT
            policy_domain, source, min(day) AS first_day, maxIf(day, aligned + failing > 0) AS last_day,
            minIf(day, aligned > 0) AS first_aligned, maxIf(day, failing > 0) AS last_failing,
            arraySort(groupArrayIf((day, aligned, failing, refused), aligned + failing > 0)) AS days,
            argMaxIf(failing_reason, day, failing > 0) AS reason,
            sumIf(aligned, day >= lately) AS newly_aligned, sumIf(aligned + forwarded + failing, day >= latest) AS own_now,
            sum(unknown) AS unknown_messages, uniqExactIf(day, unknown > 0) AS unknown_days, minIf(day, unknown > 0) AS first_unknown,
            maxIf(day, unknown > 0) AS last_unknown,
            sum(refused_unasked) AS unknown_refused, argMaxIf(why_unknown, day, unknown > 0) AS why,
            sumIf(unknown, day < latest) AS unknown_before, sumIf(unknown, day >= latest) AS unknown_now,
            sumIf(delivered, day >= latest) AS delivered_now, sumIf(unprotected, day >= latest) AS unprotected_now,
            groupArrayIf(day, unprotected > 0) AS unprotected_days,
            minIf(day, passing > 0) AS first_passing, sumIf(passing, day >= lately) AS passing_lately,
            sumIf(passing_spf, day >= lately) AS passing_spf_lately,
            maxIf(unknown_of_day, day >= latest) AS most_of_day, groupUniqArrayArray(saw) AS seen,
            length(groupUniqArrayArray(saw_unknown)) AS unknown_reporters
        FROM (SELECT *, sum(unknown) OVER (PARTITION BY policy_domain, day) AS unknown_of_day FROM source_days)
        GROUP BY policy_domain, source
    ),
    spans AS
    (
        SELECT
            *, arraySort(arrayMap(reporter -> toString(reporter), seen)) AS seen_by,
            arraySum(each -> if(each.1 > last_day - 3, each.2 + each.3, 0), days) AS mail,
            if({too_little_mail}, until - 28, last_day - 2) AS first_counting,
            min(first_day) OVER of_domain AS first_of_domain, row_number() OVER (PARTITION BY policy_domain ORDER BY source) AS place,
            sum(own_now) OVER of_domain AS own_of_domain, sum(unknown_before) OVER of_domain / 28 AS usual,
            sum(unknown_now) OVER of_domain AS unknown_of_domain, sum(delivered_now) OVER of_domain AS delivered_of_domain,
            sum(unprotected_now) OVER of_domain AS unprotected_of_domain, max(most_of_day) OVER of_domain AS most,
            arraySort(groupUniqArrayArray(unprotected_days) OVER of_domain) AS bad_days,
            groupArraySortedIf(3)((-toInt64(unprotected_now), source), unprotected_now > 0) OVER of_domain AS worst
        FROM sources
        INNER JOIN witnesses USING (policy_domain)
        INNER JOIN {views}.domains USING (policy_domain)
        WHERE anybody_is_known OR length(seen) > 1
        WINDOW of_domain AS (PARTITION BY policy_domain)
    ),
    counted AS
    (
        SELECT
            * EXCEPT (days), arrayMap(each -> each.1, arrayFilter(each -> each.3 > 0, days)) AS failing_days,
            arraySum(each -> if(each.1 >= first_counting, each.3, 0), days) AS failing_now,
            arraySum(each -> if(each.1 >= first_counting, each.4, 0), days) AS refused_now,
            arraySum(each -> if(each.1 >= first_counting, each.2 + each.3, 0), days) AS mail_now
        FROM spans
    ),
    found AS
    (
        -- (cause, subject, severity, judged by, since, affected, of, detail). Since: the first day of the last run.
        SELECT policy_domain, seen_by, arrayJoin([
            (
                if(failing_now > 0 AND last_day >= lately AND last_failing >= last_day - 1, 'dmarc-own-failing', ''), source,
                if(refused_now * 10 >= failing_now, 'critical', 'warning'), 'share-of-subject',
                toNullable(arrayLast((day, before) -> day - before > 7, failing_days, arraySlice(arrayPushFront(failing_days, toDate(0)), 1, length(failing_days)))),
                failing_now, mail_now,
                concat(
                    toString(failing_now), ' of ', toString(mail_now), ' messages fail DMARC (', reason, '); ',
                    if(refused_now = 0, 'all are delivered.', concat(toString(refused_now), ' were quarantined or rejected.'))
                )
            ),
            (
                if(newly_aligned > 0 AND first_aligned >= lately AND first_of_domain < until - 14, 'dmarc-new-source', ''), source,
                'info', 'sessions-of-subject', toNullable(first_aligned), newly_aligned, toUInt64(0),
                concat('Its mail has authenticated as the domain since ', toString(first_aligned), ', and not in the weeks before.')
            ),
            (
                if(
                    NOT parked AND (unknown_days >= 3 OR last_unknown >= first_unknown + 7) AND unknown_reporters >= 2 AND unknown_messages >= 10 AND unknown_refused * 2 <= unknown_messages,
                    'dmarc-unknown-source', ''
                ), source,
                'info', 'any', toNullable(first_unknown), unknown_messages, toUInt64(0),
                concat(toString(unknown_messages), ' messages on ', toString(unknown_days), ' days: ', why, '.')
            ),
            (
                multiIf(
                    place != 1 OR unprotected_of_domain = 0, '', parked, 'parked-forged-delivered', 'dmarc-forged-delivered'
                ), '',
                'warning', if(parked, 'sessions-of-subject', 'share-of-subject'),
                toNullable(arrayLast((day, before) -> day - before > 3, bad_days, arraySlice(arrayPushFront(bad_days, toDate(0)), 1, length(bad_days)))),
                unprotected_of_domain, own_of_domain + unknown_of_domain,
                concat(
                    if(parked, 'The policy that receivers found is not reject', 'The policy that applies is none'),
                    ', so they were delivered. Most came from ', arrayStringConcat(worst.2, ', '), '.'
                )
            ),
            (
                if(passing_lately > 0, 'parked-mail-authenticates', ''), source,
                'warning', 'any', toNullable(first_passing), passing_lately, toUInt64(0),
                concat(
                    toString(passing_lately), ' messages within a week pass DMARC as the domain: ',
                    multiIf(
                        passing_spf_lately = 0, 'they are signed with a DKIM key of it.',
                        passing_spf_lately = passing_lately, 'its SPF record lets the source send.',
                        'its SPF record lets the source send, or a DKIM key of it is in use.'
                    )
                )
            ),
            (
                if(
                    place = 1 AND most > 10 * usual AND unknown_of_domain * 10 > own_of_domain
                        AND unprotected_of_domain * 10 <= unknown_of_domain,
                    'dmarc-forgery-surge', ''
                ), '',
                if(NOT parked AND delivered_of_domain * 10 > unknown_of_domain, 'warning', 'info'), 'sessions-of-subject',
                NULL, unknown_of_domain, own_of_domain + unknown_of_domain,
                concat(
                    toString(most), ' on one day, where ', toString(round(usual)), ' are usual; ', toString(delivered_of_domain), ' of ',
                    toString(unknown_of_domain), ' were delivered.'
                )
            )
        ]) AS each
        FROM counted
    )
SELECT
    policy_domain, each.1 AS cause, each.2 AS subject, each.3 AS severity, each.4 AS judged_by, each.5 AS since,
    toUInt64(each.6) AS affected, toUInt64(each.7) AS of, each.8 AS detail, arraySlice(seen_by, 1, 20) AS seen_by
FROM found
WHERE cause != ''
COMMENT 'What DMARC reports find wrong, before it is judged; query attention'
