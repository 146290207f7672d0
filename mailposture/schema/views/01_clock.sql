-- What every view, panel, gauge and summary takes for now. Report days are in UTC (RFC 8460, section 4.1), so today is
-- too, whatever time zone the server is in. Nothing else asks the server's clock: a test replaces this view to make it
-- another day.
CREATE OR REPLACE VIEW {views}.clock {on_cluster}
(
    today Date COMMENT 'The day in UTC: the first whose reports are not complete',
    now DateTime('UTC') COMMENT 'The time'
)
SQL SECURITY DEFINER
AS
SELECT toDate(now, 'UTC') AS today, now('UTC') AS now
COMMENT 'The current time and day, as all views take them'
