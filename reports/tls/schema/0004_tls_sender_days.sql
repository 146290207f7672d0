-- On which days each sender had TLS with us, on which it applied our MTA-STS policy, and on which it could have and did not:
-- a bit a day, so that a year of all senders is a few million small rows, and what they did in the weeks before is looked up
-- in an instant. Filled from tls_policies (0005). OR and the larger number are idempotent: the same rows twice, or in any
-- order, come to the same.
CREATE TABLE IF NOT EXISTS {tables}.tls_sender_days {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    reporter LowCardinality(String) COMMENT 'Who reports',
    trust LowCardinality(String) COMMENT 'Why it is trusted; the same reporter proven and unproven are two',
    month Date COMMENT 'First day of the month; bit 0 of the masks is that day',
    report_days SimpleAggregateFunction(groupBitOr, UInt32) COMMENT 'Days that it reported about',
    tls_days SimpleAggregateFunction(groupBitOr, UInt32) COMMENT 'Days on which it had sessions with TLS',
    enforced_days SimpleAggregateFunction(groupBitOr, UInt32) COMMENT 'Days on which it applied the policy in mode enforce',
    other_mode_days SimpleAggregateFunction(groupBitOr, UInt32) COMMENT 'Days on which it applied the policy in another mode',
    dane_days SimpleAggregateFunction(groupBitOr, UInt32) COMMENT 'Days on which it applied DANE',
    unread_days SimpleAggregateFunction(groupBitOr, UInt32) COMMENT 'Days on which it could not fetch or read our policy',
    unfound_sessions SimpleAggregateFunction(maxMap, Tuple(Array(UInt8), Array(UInt64))) COMMENT 'Sessions for which it found no policy of ours, by day of the month'
)
ENGINE = {aggregating}
PARTITION BY toYYYYMM(month)
ORDER BY (policy_domain, reporter, trust, month)
TTL toLastDayOfMonth(month) + INTERVAL {retention_days} DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, replicated_deduplication_window = 0,
    min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1
COMMENT 'Days of each sender: with TLS, with and without our MTA-STS policy'
