-- Which domains nobody reports about any more, never did, or too late to be of use, as of a day. About a parked domain no reports
-- are expected. That day must be today: what was
-- missing on a day of the past cannot be said later.
CREATE OR REPLACE VIEW {views}.tls_silences_at {on_cluster}
SQL SECURITY DEFINER
AS
WITH
    assumeNotNull((SELECT today FROM {views}.clock)) AS today,
    last_report_day > toDate(0) AS reported,
    arrayFilter((name, share) -> share >= 0.5, ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'], usual) AS usual_days
SELECT
    policy_domain,
    if(reported, 'no-reports', 'never-reported') AS cause, '' AS subject, '' AS severity, 'any' AS judged_by,
    if(reported, last_report_day + 1, NULL) AS since, toUInt64(missed_days) AS affected, toUInt64(0) AS of,
    multiIf(
        NOT reported, 'No reporter that counts has reported about the last 35 days.',
        empty(usual_days), concat('The last report is about ', toString(last_report_day), '.'),
        concat(
            'The last report is about ', toString(last_report_day), '; usually there are reports about ',
            if(length(usual_days) = 7, 'every day', arrayStringConcat(usual_days, ', ')), '.'
        )
    ) AS detail,
    CAST([], 'Array(String)') AS seen_by
FROM {views}.domains
LEFT JOIN {views}.tls_rhythm USING (policy_domain)
WHERE {{end:Date}} = today AND NOT parked AND (NOT reported OR missed_days * 86400 > stale_after_seconds)
UNION ALL
SELECT
    policy_domain, 'reports-late', '', '', 'any', NULL, toUInt64(count()), toUInt64(0),
    concat('Half of the reports about the last seven days came ', toString(round(median(delay) / 3600)), ' hours or more after the day they cover.'),
    []
FROM
(
    -- Files are imported whenever somebody likes: their delay says nothing about the way that reports take.
    SELECT arrayJoin(policy_domains) AS policy_domain, reporter, trust, dateDiff('second', period_end, received_at) AS delay
    FROM {tables}.tls_reports FINAL
    WHERE day >= today - 7 AND day < today AND source IN ({sources_with_delay})
) AS lately
INNER JOIN {views}.domains USING (policy_domain)
WHERE {{end:Date}} = today AND (policy_domain, reporter, trust) IN (
    SELECT policy_domain, reporter, trust FROM {views}.tls_reporters WHERE counts
)
GROUP BY policy_domain
HAVING median(delay) > any(stale_after_seconds)
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Which domains lack reports, before it is acknowledged; query attention'
