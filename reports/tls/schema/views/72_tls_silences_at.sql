-- Which domains nobody reports about any more, never did, or too late to be of use, and whose MTA-STS policy senders have seen in
-- mode testing for four weeks, as of a day. About a parked domain no reports are expected. The day must be today: what was missing
-- on a day of the past cannot be said later.
CREATE OR REPLACE VIEW {views}.tls_silences_at {on_cluster}
SQL SECURITY DEFINER
AS
WITH
    assumeNotNull((SELECT today FROM {views}.clock)) AS today,
    toStartOfMonth(today - 60) AS first_day,
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
UNION ALL
SELECT
    policy_domain, 'policy-testing-long', '', '', 'any', first_day + first_seen, toUInt64(0), toUInt64(0),
    concat('Senders have seen it in mode testing since ', toString(first_day + first_seen), '.'), []
FROM
(
    WITH
        groupBitOr(bitShiftLeft(toUInt128(other_mode_days), month - first_day)) AS other_mode,
        groupBitOr(bitShiftLeft(toUInt128(enforced_days), month - first_day)) AS enforced,
        arrayFilter(
            bit -> bit > arrayMax(arrayPushFront(arrayMap(each -> toInt16(each), bitPositionsToArray(enforced)), -1)),
            bitPositionsToArray(other_mode)
        ) AS since_then
    SELECT policy_domain, arrayMin(since_then) AS first_seen, arrayMax(since_then) AS last_seen
    FROM {tables}.tls_sender_days
    WHERE month >= first_day AND (policy_domain, reporter, trust) IN (
        SELECT policy_domain, reporter, trust FROM {views}.tls_reporters WHERE counts
    )
    GROUP BY policy_domain
    HAVING notEmpty(since_then)
) AS testing
INNER JOIN {views}.domains USING (policy_domain)
WHERE {{end:Date}} = today AND hosted_sts_mode != 'none'
    AND first_day + first_seen <= today - 28 AND first_day + last_seen >= today - 7
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'What reports lack, and policies in testing for long, before it is acknowledged; query attention'
