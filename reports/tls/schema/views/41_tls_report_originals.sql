-- Name the day too: reports are sorted by it.
CREATE OR REPLACE VIEW {views}.tls_report_originals {on_cluster}
(
    report_key String COMMENT 'The report, as in tls_failure_details',
    day Date COMMENT 'Report day (UTC)',
    original String COMMENT 'The JSON as received'
)
SQL SECURITY DEFINER
AS
SELECT toString(report_key) AS report_key, day, original
FROM {tables}.tls_reports FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'The text of each report'
