-- How many days are missing on which reports of any kind, about any of our domains, usually come: whether the way in works. A domain
-- may have reports of one kind alone, and reports of one kind may stay away for a reason of their own, which attention knows.
CREATE OR REPLACE VIEW {views}.report_rhythm {on_cluster}
(
    last_report_day Date COMMENT 'Newest report day, of the last 35; no row without one',
    usual Array(Float64) COMMENT 'Monday to Sunday: the share of these weekdays with reports, 0 to 1',
    missed_days Float64 COMMENT 'Report days that are missing since then; today counts by what has passed of it'
)
SQL SECURITY DEFINER
AS
WITH
    assumeNotNull((SELECT today FROM {views}.clock)) AS today,
    {elapsed_today},
    reported AS
    (
        SELECT
            arraySort(groupUniqArrayArray(days)) AS all_days, arrayMax(all_days) AS last_report_day,
            {eight_weeks}
        FROM
        (
            SELECT days FROM {views}.tls_rhythm
            UNION ALL
            SELECT days FROM {views}.dmarc_rhythm
        )
        HAVING notEmpty(all_days)
    )
SELECT
    last_report_day,
    {usual_weekdays} AS usual,
    {missed_days} AS missed_days
FROM reported
COMMENT 'Usual weekdays of reports of any kind about any domain, and how many report days are missing now'
