-- What each sender says about each of our domains as of a day: its last word is its newest report day of the last three, so that a
-- failure shows with the first report that has it and ends when the last sender has seen clean sessions, whatever order reports
-- come in. Some senders report failures only, and their silence is good news: a word older than that counts no more.
--
-- A domain whose last words have less mail than its minimum of sessions is judged over more days (it is thin): a sender's word
-- is then all its report days since its last clean one, of four weeks, as long as the newest is not older than a week.
--
-- Only senders that count in alerts (tls_reporters). Where newcomers count, and two of them or somebody known see an outage, those
-- who see none do not count: a made-up "all is well" is cheap. And no newcomer counts for more failures than the second largest
-- of them: one alone for none.
--
-- Every fact of the last 31 days is read once, into a row per sender with its days as an array: what asks this view needs no
-- second look, and everything else is done with windows.
CREATE OR REPLACE VIEW {views}.tls_last_words{_at} {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    reporter LowCardinality(String) COMMENT 'Who reports: an organizational domain',
    proof LowCardinality(String) COMMENT 'dkim if it is proven, in whatever way; else why its reports are trusted',
    name String COMMENT 'What the reporter calls itself, and its domain',
    is_new LowCardinality(UInt8) COMMENT 'Whether it is a newcomer',
    has_past UInt8 COMMENT 'Whether anybody who counts reported before the latest days',
    last_day Date COMMENT 'Its last report day that counts',
    days Array(Tuple(Date, UInt64, UInt64, Array(Tuple(String, String, UInt64)), UInt8)) COMMENT 'Day, failed and refused sessions, failures (category, receiving MX, sessions), whether the day counts now',
    weight Float64 COMMENT 'How much its failures weigh: 1, or less for a newcomer',
    counted_successful Float64 COMMENT 'Sessions with TLS that count',
    counted_failed Float64 COMMENT 'Sessions without that count'
)
SQL SECURITY DEFINER
AS
WITH
    assumeNotNull({end}) AS until, until - 3 AS latest, until - 7 AS lately, until - 28 AS thin_start, until - 31 AS known_start,
    report_days AS
    (
        -- Failures are (category, server, sessions). Refused is what failed under an enforced policy, also where DANE counts
        -- the sessions, but for a policy that could not be fetched or read: then it is not applied (RFC 8461, section 5).
        SELECT
            policy_domain, reporter, {proof} AS proof, day, any(of_policies.name) AS name, sum(of_policies.successful) AS successful,
            sum(of_policies.failed) AS failed, toUInt64(greatest(sum(of_policies.refused), 0)) AS refused,
            groupArrayArray(of_policies.failures) AS failures
        FROM
        (
            SELECT
                policy_domain, reporter, trust, day,
                {caption} AS name,
                sumIf(successful_sessions, counts) AS successful, sumIf(failed_sessions, counts) AS failed,
                toInt64(sumIf(failed_sessions, policy_type = 'sts' AND sts_mode = 'enforce')) AS refused,
                CAST([], 'Array(Tuple(String, String, UInt64))') AS failures
            FROM {tables}.tls_policies FINAL
            WHERE day >= known_start AND day < until
            GROUP BY policy_domain, reporter, reporter_proven, trust, day
            UNION ALL
            SELECT
                policy_domain, reporter, trust, day, '', 0, 0, -sum(not_applied),
                groupArrayIf((toString(category), toString(receiving_mx), sessions), sessions > 0)
            FROM
            (
                SELECT
                    policy_domain, reporter, trust, day, category, receiving_mx, sumIf(failed_sessions, counts) AS sessions,
                    toInt64(sumIf(failed_sessions, sts_mode = 'enforce' AND result_type IN (
                        SELECT term FROM {tables}.failure_words FINAL WHERE kind = 'result-type' AND NOT refuses_mail
                    ))) AS not_applied
                FROM {tables}.tls_failures FINAL
                WHERE day >= known_start AND day < until
                GROUP BY policy_domain, reporter, trust, day, category, receiving_mx
            )
            GROUP BY policy_domain, reporter, trust, day
        ) AS of_policies
        GROUP BY policy_domain, reporter, proof, day
    ),
    senders AS
    (
        SELECT
            policy_domain, reporter, proof, any(name) AS name, min(day) AS first_day,
            if(max(day) >= latest, max(day), until) AS last_day, max(day) AS newest,
            maxIf(day, successful > 0 AND failed = 0) AS last_clean,
            argMaxIf(successful + failed, day, day >= latest) AS last_sessions,
            groupArray((day, successful, failed, refused, failures)) AS days
        FROM report_days
        GROUP BY policy_domain, reporter, proof
    ),
    counting AS
    (
        SELECT
            policy_domain, reporter, proof, name, standing = 'newcomer' AS is_new, last_day, newest, last_clean, days,
            failure_ratio_threshold, sum(last_sessions) OVER of_domain AS mail, {too_little_mail} AS thin,
            max(first_day < latest) OVER of_domain AS has_past
        FROM senders
        INNER JOIN
        (
            SELECT DISTINCT policy_domain, reporter, {proof} AS proof, standing FROM {views}.tls_reporters WHERE counts
        ) AS counted_reporters USING (policy_domain, reporter, proof)
        INNER JOIN {views}.domains USING (policy_domain)
        WINDOW of_domain AS (PARTITION BY policy_domain)
    ),
    -- Layer upon layer, because what an expression is made of is repeated wherever its alias is used.
    spans AS
    (
        SELECT
            policy_domain, reporter, proof, name, is_new, has_past, last_day, days, failure_ratio_threshold,
            if(thin, thin_start, last_day) AS first_counting,
            multiIf(NOT thin, last_day, newest >= lately, greatest(thin_start, last_clean + 1), until) AS first_failing
        FROM counting
    ),
    last_words AS
    (
        SELECT
            policy_domain, reporter, proof, name, is_new, has_past, last_day, failure_ratio_threshold,
            arrayMap(each -> (each.1, each.3, each.4, each.5, each.1 >= first_failing), days) AS days,
            arraySum(each -> if(each.1 >= first_counting, each.2, 0), spans.days) AS successful,
            arraySum(each -> if(each.1 >= first_failing, each.3, 0), spans.days) AS failed
        FROM spans
    ),
    alarms AS
    (
        SELECT *, {fails_too_often} AS alarmed
        FROM last_words
    ),
    outages AS
    (
        SELECT
            *, -(groupArraySortedIf(2)(-toInt64(failed), is_new AND alarmed) OVER of_domain)[2] AS second_alarmed,
            max(alarmed AND NOT is_new) OVER of_domain AS known_outage
        FROM alarms
        WINDOW of_domain AS (PARTITION BY policy_domain)
    ),
    weighted AS
    (
        SELECT
            *, multiIf(
                NOT is_new OR (second_alarmed = 0 AND NOT known_outage), 1, alarmed, least(1, second_alarmed / failed), 0
            ) AS weight
        FROM outages
    ),
    counted AS
    (
        SELECT
            *, successful * weight AS counted_successful, failed * weight AS weighted_failed,
            -(groupArraySortedIf(2)(-failed * weight, is_new) OVER (PARTITION BY policy_domain))[2] AS second
        FROM weighted
    )
SELECT
    policy_domain, reporter, proof, name, is_new, has_past, last_day, days, weight, counted_successful,
    if(is_new, least(weighted_failed, second), weighted_failed) AS counted_failed
FROM counted
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'What each sender that counts in alerts reports about each domain; query attention'
