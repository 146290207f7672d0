-- Which weekly digest was handed to the mail server for whom, so that a restart repeats none.
CREATE TABLE IF NOT EXISTS {tables}.digests_sent {on_cluster}
(
    first_day Date COMMENT 'First of the seven report days that it is about (UTC)',
    scope String COMMENT 'Which domains it is about: a team, or empty for all',
    recipient String COMMENT 'Mail address',
    message_id String COMMENT 'Message-ID of the mail',
    sent_at DateTime64(3, 'UTC') COMMENT 'When the mail server accepted it'
)
ENGINE = {replacing}(sent_at)
ORDER BY (first_day, scope, recipient)
TTL first_day + INTERVAL {retention_days} DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, replicated_deduplication_window = 0
COMMENT 'Weekly digests that were mailed'
