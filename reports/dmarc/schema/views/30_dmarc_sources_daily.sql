-- Who sends mail in our name, and in which of four piles it belongs: what dmarc_source_piles says, and says why. Kept, and made
-- again within a minute or so of what changes it (reports/dmarc/rolling_up.py), so that a question takes no joins.
--
-- A source has several rows a day where its messages differ in what they authenticated as or in what was done with them: add them
-- up.
CREATE OR REPLACE VIEW {views}.dmarc_sources_daily {on_cluster}
(
    day Date COMMENT 'Report day: the UTC date of the middle of the reported period',
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    header_from LowCardinality(String) COMMENT 'Domain in the From field of the messages: ours, or a subdomain',
    source String COMMENT 'Who sends: a sender of the configuration, a service, a domain, a host name, a network',
    source_kind LowCardinality(String) COMMENT 'own (named in the configuration), service, domain (that it authenticates as), host, network or unknown',
    source_ip String COMMENT 'Address that the messages came from; empty if the report has no usable one',
    pile LowCardinality(String) COMMENT 'aligned, ours-failing, forwarded or unknown',
    possibly_ours Bool COMMENT 'unknown: a service, or a shared address, that may send for us. A mark, never a reason to page',
    evidence LowCardinality(String) COMMENT 'Why it is in this pile, in words',
    reason LowCardinality(String) COMMENT 'What is wrong, as `mailposture explain` explains it; empty if DMARC passed',
    messages UInt64 COMMENT 'Messages with our domain in From',
    passed_messages UInt64 COMMENT 'Messages that passed DMARC',
    spf_aligned_messages UInt64 COMMENT 'Messages with an aligned SPF pass',
    dkim_aligned_messages UInt64 COMMENT 'Messages with an aligned DKIM pass',
    quarantined_messages UInt64 COMMENT 'Messages that the reporter put into quarantine, for whatever reason',
    rejected_messages UInt64 COMMENT 'Messages that the reporter rejected, for whatever reason',
    delivered_messages UInt64 COMMENT 'Messages that were neither',
    counted_messages UInt64 COMMENT 'Messages of reporters that count in alerts (dmarc_reporters); forged reports add nothing here',
    published_policy LowCardinality(String) COMMENT 'Policy that applied to this header_from: p, or sp for subdomains; one step less with t=y, or where pct spared it',
    published_domain LowCardinality(String) COMMENT 'Domain whose record that is: ours, or a subdomain with a DMARC record of its own',
    reporters Array(LowCardinality(String)) COMMENT 'Who reported them, at most 100; groupUniqArrayArray(reporters) combines rows',
    counted_reporters Array(LowCardinality(String)) COMMENT 'Those of them that count in alerts'
)
SQL SECURITY DEFINER
AS
SELECT
    day, policy_domain, header_from, source, source_kind,
    if(kept.source_ip = toIPv6('::'), '', replaceRegexpOne(toString(kept.source_ip), '^::ffff:([0-9.]+)$', '\\1')) AS source_ip,
    pile, possibly_ours, evidence, reason, messages,
    if(bitTest(outcome, 0), messages, 0) AS passed_messages,
    if(bitTest(outcome, 1), messages, 0) AS spf_aligned_messages,
    if(bitTest(outcome, 2), messages, 0) AS dkim_aligned_messages,
    if(bitTest(outcome, 3), messages, 0) AS quarantined_messages,
    if(bitTest(outcome, 4), messages, 0) AS rejected_messages,
    if(bitAnd(outcome, 24) = 0, messages, 0) AS delivered_messages,
    counted_messages, published_policy, published_domain, reporters, counted_reporters
FROM {tables}.dmarc_sources AS kept FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Messages per day, source and pile: who sends in our name'
