-- What dmarc_sources of each domain was made of. To have all of it made again, empty this table.
CREATE TABLE IF NOT EXISTS {tables}.dmarc_rolled_up {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    rolled_up_at DateTime64(3, 'UTC') COMMENT 'When that began; what was stored before is in',
    rules UInt64 COMMENT 'Hash of what names and sorts sources: this version, the catalogue, senders of the configuration',
    lately UInt64 COMMENT 'Hash of the day, and of the domains of the configuration'
)
ENGINE = {replacing}(rolled_up_at)
ORDER BY policy_domain
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, replicated_deduplication_window = 0
COMMENT 'Until when, and by which rules, dmarc_sources is made'
