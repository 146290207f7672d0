-- What came in and is not (yet) a report.
CREATE OR REPLACE VIEW {views}.rejections {on_cluster}
(
    received_at DateTime64(3, 'UTC') COMMENT 'When we accepted the bytes; of many messages, their day',
    held_id String COMMENT 'Reference to the kept bytes: mailposture quarantine show ID',
    source LowCardinality(String) COMMENT 'smtp, lmtp, https, imap, graph, maildir or file',
    name String COMMENT 'File, mailbox or queue id that the bytes came in',
    peer String COMMENT 'IP address of the client that delivered them',
    size UInt64 COMMENT 'Bytes',
    reason LowCardinality(String) COMMENT 'Bounded reason, for example bad-compression',
    detail String COMMENT 'What is wrong, in words',
    messages UInt64 COMMENT 'How many messages the row stands for: many, where a day has more than are listed one by one'
)
SQL SECURITY DEFINER
AS
SELECT received_at, held_id, source, name, peer, size, reason, detail, messages
FROM {tables}.rejections FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Rejected messages, with reasons'
