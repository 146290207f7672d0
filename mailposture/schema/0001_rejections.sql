-- What came in and is not (yet) a report, with the reason; the bytes are kept in the collector's spool.
CREATE TABLE IF NOT EXISTS {tables}.rejections {on_cluster}
(
    received_at DateTime64(3, 'UTC') COMMENT 'When we accepted the bytes; of many messages, their day',
    held_id String COMMENT 'Reference to the kept bytes: mailposture quarantine show ID',
    source LowCardinality(String) COMMENT 'smtp, lmtp, https, imap, graph, maildir or file',
    name String COMMENT 'File, mailbox or queue id that the bytes came in',
    peer String COMMENT 'IP address of the client that delivered them',
    size UInt64 COMMENT 'Bytes',
    reason LowCardinality(String) COMMENT 'Bounded reason, for example bad-compression',
    detail String COMMENT 'What is wrong, in words',
    messages UInt64 DEFAULT 1 COMMENT 'How many messages the row stands for: many, where a day has more than are listed one by one'
)
ENGINE = {replacing}
PARTITION BY toYYYYMM(received_at)
ORDER BY (received_at, held_id)
TTL toDate(received_at) + INTERVAL {rejections_days} DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, replicated_deduplication_window = 0
COMMENT 'Rejected messages, with reasons'
