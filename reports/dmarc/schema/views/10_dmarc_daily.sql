-- Every message once. What passed is what policy_evaluated says, never what single results say.
CREATE OR REPLACE VIEW {views}.dmarc_daily {on_cluster}
(
    day Date COMMENT 'Report day: the UTC date of the middle of the reported period',
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    reporter LowCardinality(String) COMMENT 'Who reports: an organizational domain',
    reporter_proven Bool COMMENT 'Whether that is proven by a signature',
    organization LowCardinality(String) COMMENT 'What the reporter calls itself: a caption, never an identity',
    messages UInt64 COMMENT 'Messages with our domain in From',
    passed_messages UInt64 COMMENT 'Messages that passed DMARC',
    unevaluated_messages UInt64 COMMENT 'Messages of which the report says neither that they passed nor that they failed',
    spf_aligned_messages UInt64 COMMENT 'Messages with an aligned SPF pass',
    dkim_aligned_messages UInt64 COMMENT 'Messages with an aligned DKIM pass',
    quarantined_messages UInt64 COMMENT 'Messages that the reporter put into quarantine, for whatever reason',
    rejected_messages UInt64 COMMENT 'Messages that the reporter rejected, for whatever reason'
)
SQL SECURITY DEFINER
AS
SELECT
    day, policy_domain, reporter, reporter_proven, any(organization) AS organization,
    sum(r.messages) AS messages,
    sumIf(r.messages, passed) AS passed_messages,
    sumIf(r.messages, NOT evaluated) AS unevaluated_messages,
    sumIf(r.messages, spf_aligned) AS spf_aligned_messages,
    sumIf(r.messages, dkim_aligned) AS dkim_aligned_messages,
    sumIf(r.messages, disposition = 'quarantine') AS quarantined_messages,
    sumIf(r.messages, disposition = 'reject') AS rejected_messages
FROM {tables}.dmarc_records AS r FINAL
GROUP BY day, policy_domain, reporter, reporter_proven
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Messages sent in our name per day, domain and reporter'
