-- Name the day too: reports are sorted by it.
CREATE OR REPLACE VIEW {views}.dmarc_report_originals {on_cluster}
(
    report_key String COMMENT 'The report, as in dmarc_record_details',
    day Date COMMENT 'Report day: the UTC date of the middle of the reported period',
    original String COMMENT 'The XML as received'
)
SQL SECURITY DEFINER
AS
SELECT toString(report_key) AS report_key, day, original
FROM {tables}.dmarc_reports FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'The text of each report'
