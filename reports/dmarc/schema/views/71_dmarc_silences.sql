-- About which domains nobody sends DMARC reports any more, and which have had the policy none for four weeks, or have a weaker one
-- than within the last two weeks: for mail of the domain, of names below it, or of such that do not exist. Nobody who has never got DMARC reports misses them; whether the record asks for them is for our probes to
-- say. The day must be today: what was missing on a day of the past cannot be said later.
CREATE OR REPLACE VIEW {views}.dmarc_silences{_at} {on_cluster}
(
    policy_domain String COMMENT 'Our domain',
    cause String COMMENT 'What is missing, or has been so for long',
    subject String COMMENT 'Empty: the whole domain',
    severity String COMMENT 'critical, warning or info; empty if the cause decides',
    judged_by String COMMENT 'What it is compared with: attention says how',
    since Nullable(Date) COMMENT 'First day of this run',
    affected UInt64 COMMENT 'Report days that are missing; 0 where that means nothing',
    of UInt64 COMMENT '0',
    detail String COMMENT 'More in words',
    seen_by Array(String) COMMENT 'Reporters that say so'
)
SQL SECURITY DEFINER
AS
WITH
    assumeNotNull((SELECT today FROM {views}.clock)) AS today,
    policies_found AS
    (
        -- Copies of a report change none of this, so it needs no FINAL.
        SELECT
            policy_domains[1] AS policy_domain,
            groupUniqArrayIf(day, applied_policy = 'none' AND published_domain = policy_domains[1]) AS none_days,
            maxIf(day, applied_policy != 'none' AND published_domain = policy_domains[1]) AS last_other,
            argMaxIf(
                concat('p=', p, multiIf(p = 'none', '', testing = 'y', ' with t=y', concat(' with pct=', toString(pct)))), (day, period_end),
                applied_policy = 'none' AND published_domain = policy_domains[1]
            ) AS last_none,
            arraySort(arrayFilter(each -> each > last_other, none_days)) AS none_since_then
        FROM {tables}.dmarc_reports
        WHERE day >= today - 91 AND day <= today AND (policy_domains[1], reporter, trust) IN (
            SELECT policy_domain, reporter, trust FROM {views}.dmarc_reporters WHERE counts
        )
        GROUP BY policy_domain
    ),
    -- A record that is missing, or that receivers cannot use, is one that is wrong.
    records_seen AS
    (
        SELECT
            policy_domain, arrayMap(policy -> indexOf(['none', 'quarantine', 'reject'], policy), probe_results.policies) AS strengths,
            max(probed_at) AS last_seen, argMax(published, probed_at) AS text, groupArraySorted(2)(-toUnixTimestamp64Milli(probed_at)) AS newest
        FROM {tables}.probe_results FINAL
        WHERE probe = 'dns' AND record = 'dmarc' AND length(probe_results.policies) = 3 AND day >= today - 14 AND day <= today
        GROUP BY policy_domain, strengths
    ),
    last_two AS
    (
        SELECT
            policy_domain, arraySort(each -> -toUnixTimestamp64Milli(each.1), groupArray((last_seen, text, strengths))) AS kinds,
            arraySlice(arraySort(groupArrayArray(arrayMap(time -> (time, strengths), newest))), 1, 2) AS newest_two,
            arrayMap((one, other) -> greatest(one, other), newest_two[1].2, newest_two[-1].2) AS now
        FROM records_seen
        GROUP BY policy_domain
        HAVING length(newest_two) = 2
    ),
    weakened AS
    (
        SELECT
            policy_domain, kinds[1].2 AS record_now,
            arrayFirst(kind -> arrayExists((was, is) -> was > is, kind.3, now), kinds) AS stronger,
            ['none', 'quarantine', 'reject'] AS steps,
            arrayMap(
                place -> concat(
                    steps[now[place]], ' instead of ', steps[stronger.3[place]], ' to mail of ',
                    ['the domain', 'names below it', 'names below it that do not exist'][place]
                ),
                arrayFilter(place -> stronger.3[place] > now[place], [1, 2, 3])
            ) AS weaker
        FROM last_two
        WHERE notEmpty(weaker)
    ),
    found AS
    (
        SELECT policy_domain, arrayJoin([
            (
                if(NOT parked AND last_report_day > toDate(0) AND {reports_are_missing}, 'dmarc-no-reports', ''),
                '', 'warning', toNullable(last_report_day + 1), toUInt64(missed_days),
                concat('The last DMARC report is about ', toString(last_report_day), '.')
            ),
            (
                if(
                    NOT parked AND notEmpty(none_since_then) AND none_since_then[1] <= today - 28 AND none_since_then[-1] >= today - 7,
                    'dmarc-policy-none-long', ''
                ),
                '', 'info', toNullable(none_since_then[1]), toUInt64(0),
                concat('Reporters have found that none is applied since ', toString(none_since_then[1]), ', at last ', last_none, '.')
            ),
            (
                if(NOT parked AND notEmpty(weaker), 'dmarc-policy-weakened', ''),
                'dmarc', 'warning', toNullable(toDate(stronger.1, 'UTC')), toUInt64(0),
                concat(
                    'It was "', stronger.2, '", and is "', record_now, '": receivers apply ', arrayStringConcat(weaker, ', '), '.'
                )
            )
        ]) AS each
        FROM {views}.domains
        LEFT JOIN {views}.dmarc_rhythm USING (policy_domain)
        LEFT JOIN policies_found USING (policy_domain)
        LEFT JOIN weakened USING (policy_domain)
        WHERE {end} = today
    )
SELECT
    policy_domain, each.1 AS cause, each.2 AS subject, each.3 AS severity, 'any' AS judged_by, each.4 AS since, each.5 AS affected,
    toUInt64(0) AS of, each.6 AS detail, CAST([], 'Array(String)') AS seen_by
FROM found
WHERE cause != ''
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'DMARC reports that are missing, and policies that protect too little; query attention'
