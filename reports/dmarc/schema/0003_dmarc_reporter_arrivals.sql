-- When each reporter was accepted about each of our domains: how long we know it. Filled from dmarc_reports (0004); minimum and
-- maximum are idempotent, so rows that are written again change nothing. Days of arrival, which are ours to note: the day
-- that a report is about can be anything that its author likes.
CREATE TABLE IF NOT EXISTS {tables}.dmarc_reporter_arrivals {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    reporter LowCardinality(String) COMMENT 'Who reports',
    trust LowCardinality(String) COMMENT 'Why its reports are trusted: dkim, authserv, spf, operator, mailbox, author',
    first_arrival SimpleAggregateFunction(min, DateTime('UTC')) COMMENT 'When its first report was accepted',
    last_arrival SimpleAggregateFunction(max, DateTime('UTC')) COMMENT 'When its last report was accepted'
)
ENGINE = {aggregating}
ORDER BY (policy_domain, reporter, trust)
TTL toDate(last_arrival) + INTERVAL {retention_days} DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, replicated_deduplication_window = 0
COMMENT 'Since when, and until when, each reporter was accepted'
