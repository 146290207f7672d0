-- What the piles of dmarc_sources_daily rest on: records that are alike, whoever reported them. Each fact is said by the record alone;
-- whose the source is, is not asked here.
--
-- fault: what is wrong with a message that did not pass, the one thing to do first. A signature of our own domain that does not
-- verify comes before anything else: it shows that somebody meant to authenticate as us. Of which a report says neither that it
-- passed nor that it failed is evidence of nothing, and counts in no alert.
CREATE OR REPLACE VIEW {views}.dmarc_source_days {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    day Date COMMENT 'Report day: the UTC date of the middle of the reported period',
    header_from LowCardinality(String) COMMENT 'Domain in the From field of the messages: ours, or a subdomain',
    source_ip IPv6 COMMENT 'Address that the messages came from, IPv4 as ::ffff:a.b.c.d; :: if the report has no usable one',
    spf_aligned Bool COMMENT 'Whether SPF passed and was aligned',
    dkim_aligned Bool COMMENT 'Whether DKIM passed and was aligned',
    disposition LowCardinality(String) COMMENT 'What was done: none, quarantine or reject; by spam filters too',
    published_policy LowCardinality(String) COMMENT 'Policy that applied to this header_from: p, or sp for subdomains; one step less with t=y, or where pct spared it',
    published_domain LowCardinality(String) COMMENT 'Domain whose record that is: ours, or a subdomain with a DMARC record of its own',
    forwarding LowCardinality(String) COMMENT 'Sign of forwarding that the reporter gave: forwarded, trusted_forwarder, mailing_list or arc; else empty',
    fault LowCardinality(String) COMMENT 'What is wrong, a term that `mailposture explain` knows; empty if DMARC passed',
    as_ours Bool COMMENT 'Whether SPF passed for a name of ours without being aligned; where DMARC failed, SPF or DKIM',
    authenticated Array(String) COMMENT 'Domains, not below ours, that passed DKIM, then such that passed SPF; each sorted, at most 8',
    messages UInt64 COMMENT 'Messages',
    counted_messages UInt64 COMMENT 'Messages of reporters that count in alerts (dmarc_reporters), and that say whether they passed',
    reporters Array(LowCardinality(String)) COMMENT 'Who reported them, at most 100',
    counted_reporters Array(LowCardinality(String)) COMMENT 'Those of them that count in alerts, at most 100'
)
SQL SECURITY DEFINER
AS
WITH
    name -> (name = policy_domain OR endsWith(name, concat('.', policy_domain))) AS is_ours,
    arrayZip(dkim_domains, dkim_results, dkim_details) AS dkim,
    arrayZip(spf_domains, spf_results) AS spf,
    arrayFilter(each -> is_ours(each.1), dkim) AS own_dkim,
    arrayFilter(each -> is_ours(each.1), spf) AS own_spf,
    arrayFilter(each -> each.2 = 'pass' AND each.1 != '' AND NOT is_ours(each.1), dkim) AS other_dkim,
    arrayFilter(each -> each.2 = 'pass' AND each.1 != '' AND NOT is_ours(each.1), spf) AS other_spf
SELECT
    policy_domain, day, header_from, source_ip, spf_aligned, dkim_aligned, disposition, published_policy, published_domain,
    multiIf(
        has(reasons, 'mailing_list'), 'mailing_list',
        has(reasons, 'trusted_forwarder'), 'trusted_forwarder',
        has(reasons, 'forwarded'), 'forwarded',
        arrayExists(comment -> match(comment, '(?i)\\barc=pass\\b'), comments), 'arc',
        ''
    ) AS forwarding,
    multiIf(
        passed, '',
        NOT evaluated, 'no-verdict',
        arrayExists(each -> each.2 = 'permerror' OR match(each.3, '(?i)\\bno (valid )?key\\b|key not found'), own_dkim), 'dkim-key-missing',
        arrayExists(each -> each.2 = 'pass', own_dkim) OR arrayExists(each -> each.2 = 'pass', own_spf), 'not-aligned',
        arrayExists(each -> each.2 = 'temperror', own_dkim), 'dkim-temperror',
        arrayExists(each -> each.2 != 'none', own_dkim), 'dkim-broken',
        notEmpty(other_dkim), 'dkim-other-domain',
        arrayExists(each -> each.2 = 'permerror', own_spf), 'spf-permerror',
        notEmpty(other_spf), 'spf-other-domain',
        arrayExists(each -> each.2 = 'temperror', own_spf), 'spf-temperror',
        arrayExists(each -> each.2 IN ('fail', 'softfail', 'neutral', 'hardfail'), own_spf), 'spf-not-listed',
        'not-authenticated'
    ) AS fault,
    NOT spf_aligned AND (arrayExists(each -> each.2 = 'pass', own_spf) OR (NOT passed AND arrayExists(each -> each.2 = 'pass', own_dkim))) AS as_ours,
    arraySlice(
        arrayDistinct(arrayConcat(
            arraySort(arrayMap(each -> toString(each.1), other_dkim)), arraySort(arrayMap(each -> toString(each.1), other_spf))
        )),
        1, 8
    ) AS authenticated,
    sum(record.messages) AS messages,
    sumIf(record.messages, counts AND evaluated) AS counted_messages,
    groupUniqArray(100)(reporter) AS reporters,
    groupUniqArrayIf(100)(reporter, counts AND evaluated) AS counted_reporters
FROM (SELECT * FROM {tables}.dmarc_records FINAL) AS record
LEFT JOIN {views}.dmarc_reporters AS reporting USING (policy_domain, reporter, trust)
GROUP BY
    policy_domain, day, header_from, source_ip, spf_aligned, dkim_aligned, disposition, published_policy, published_domain,
    forwarding, fault, as_ours, authenticated
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Messages per day, address and outcome: what dmarc_sources_daily rests on'
