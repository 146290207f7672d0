-- Which domains nobody reports about any more, never did, or too late to be of use, and whose MTA-STS policy senders have seen in
-- mode testing for four weeks, as of a day. About a parked domain no reports are expected. The day must be today: what was missing
-- on a day of the past cannot be said later.
CREATE OR REPLACE VIEW {views}.tls_silences{_at} {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    cause String COMMENT 'What is missing, late, or has been so for long',
    subject String COMMENT 'Empty: the whole domain',
    severity String COMMENT 'critical, warning or info; empty if the cause decides',
    judged_by String COMMENT 'What it is compared with: attention says how',
    since Nullable(Date) COMMENT 'First day of this run',
    affected UInt64 COMMENT 'Report days that are missing, or reports that are late; 0 where that means nothing',
    of UInt64 COMMENT '0',
    detail String COMMENT 'More in words',
    seen_by Array(String) COMMENT 'Reporters that say so'
)
SQL SECURITY DEFINER
AS
WITH
    assumeNotNull((SELECT today FROM {views}.clock)) AS today,
    toStartOfMonth(today - 60) AS first_day,
    delays AS
    (
        -- Files are imported whenever somebody likes: their delay says nothing about the way that reports take.
        SELECT policy_domain, count() AS reports, median(dateDiff('second', period_end, received_at)) AS usual_delay
        FROM {tables}.tls_reports FINAL
        ARRAY JOIN policy_domains AS policy_domain
        WHERE day >= today - 7 AND day < today AND source IN ({sources_with_delay}) AND (policy_domain, reporter, trust) IN (
            SELECT policy_domain, reporter, trust FROM {views}.tls_reporters WHERE counts
        )
        GROUP BY policy_domain
    ),
    masks AS
    (
        SELECT
            policy_domain,
            bitPositionsToArray(groupBitOr(bitShiftLeft(toUInt128(other_mode_days), month - first_day))) AS other_mode,
            bitPositionsToArray(groupBitOr(bitShiftLeft(toUInt128(enforced_days), month - first_day))) AS enforced
        FROM {tables}.tls_sender_days
        WHERE month >= first_day AND (policy_domain, reporter, trust) IN (
            SELECT policy_domain, reporter, trust FROM {views}.tls_reporters WHERE counts
        )
        GROUP BY policy_domain
    ),
    modes AS
    (
        SELECT
            policy_domain,
            arrayMap(bit -> first_day + bit, arrayFilter(
                bit -> bit > arrayMax(arrayPushFront(arrayMap(each -> toInt16(each), enforced), -1)), other_mode
            )) AS testing_days
        FROM masks
    ),
    silences AS
    (
        SELECT
            policy_domain, stale_after_seconds, parked, hosted_sts_mode, missed_days, last_report_day, reports, usual_delay,
            testing_days, last_report_day > toDate(0) AS reported,
            arrayFilter((name, share) -> share >= 0.5, ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'], usual) AS usual_days
        FROM {views}.domains
        LEFT JOIN {views}.tls_rhythm USING (policy_domain)
        LEFT JOIN delays USING (policy_domain)
        LEFT JOIN modes USING (policy_domain)
        WHERE {end} = today
    ),
    found AS
    (
        SELECT policy_domain, arrayJoin([
            (
                multiIf(
                    parked, '', NOT reported, 'never-reported', {reports_are_missing}, 'no-reports', ''
                ),
                if(reported, last_report_day + 1, NULL),
                toUInt64(missed_days),
                if(reported, concat(
                    'The last report is about ', toString(last_report_day),
                    multiIf(
                        empty(usual_days), '.',
                        length(usual_days) = 7, '; usually there are reports about every day.',
                        concat('; usually there are reports about ', arrayStringConcat(usual_days, ', '), '.')
                    )
                ), 'No reporter that counts has reported about the last 35 days.')
            ),
            (
                if(NOT parked AND reports > 0 AND {reports_are_late}, 'reports-late', ''),
                NULL,
                reports,
                concat(
                    'Half of the reports about the last seven days came ', toString(round(usual_delay / 3600)),
                    ' hours or more after the day they cover.'
                )
            ),
            (
                if(
                    NOT parked AND notEmpty(testing_days) AND hosted_sts_mode IN ('', 'testing')
                        AND arrayMin(testing_days) <= today - 28 AND arrayMax(testing_days) >= today - 7,
                    'policy-testing-long', ''
                ),
                toNullable(arrayMin(testing_days)),
                toUInt64(0),
                concat('Senders have seen it in mode testing since ', toString(arrayMin(testing_days)), '.')
            )
        ]) AS each
        FROM silences
    )
SELECT
    policy_domain, each.1 AS cause, '' AS subject, '' AS severity, 'any' AS judged_by, each.2 AS since, each.3 AS affected,
    toUInt64(0) AS of, each.4 AS detail, CAST([], 'Array(String)') AS seen_by
FROM found
WHERE cause != ''
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'What reports lack, and policies in testing for long, before it is acknowledged; query attention'
