-- The finest there is. IP addresses are text, so that they look the same everywhere.
CREATE OR REPLACE VIEW {views}.dmarc_record_details {on_cluster}
(
    day Date COMMENT 'Report day: the UTC date of the middle of the reported period',
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    report_key String COMMENT 'The report: dmarc_report_log, dmarc_report_originals',
    reporter LowCardinality(String) COMMENT 'Who reports: an organizational domain',
    reporter_proven Bool COMMENT 'Whether that is proven by a signature',
    organization LowCardinality(String) COMMENT 'What the reporter calls itself: a caption, never an identity',
    header_from LowCardinality(String) COMMENT 'Domain in the From field of the messages: ours, or a subdomain',
    envelope_from LowCardinality(String) COMMENT 'Domain of MAIL FROM, which SPF was checked for; empty if not reported',
    envelope_to LowCardinality(String) COMMENT 'Domain of the recipients; empty if not reported',
    source_ip String COMMENT 'Address that the messages came from; empty if the report has no usable one',
    messages UInt64 COMMENT 'Messages that were evaluated alike',
    passed Bool COMMENT 'DMARC pass: SPF or DKIM passed and was aligned',
    dkim_aligned Bool COMMENT 'Whether DKIM passed and was aligned',
    spf_aligned Bool COMMENT 'Whether SPF passed and was aligned',
    evaluated Bool COMMENT 'Whether the report says that the messages passed, or that they failed; else they count as neither',
    disposition LowCardinality(String) COMMENT 'What was done: none, quarantine or reject; by spam filters too',
    published_policy LowCardinality(String) COMMENT 'Policy that applied to this header_from: p, or sp for subdomains; one step less with t=y, or where pct spared it',
    published_domain LowCardinality(String) COMMENT 'Domain whose record that is: ours, or a subdomain with a DMARC record of its own',
    reasons Array(LowCardinality(String)) COMMENT 'Why the policy was not applied: types of overrides',
    comments Array(String) COMMENT 'Comments beside reasons, the reporter''s own words',
    dkim_domains Array(LowCardinality(String)) COMMENT 'Signing domains (d=), aligned or not',
    dkim_selectors Array(LowCardinality(String)) COMMENT 'Selectors (s=) beside dkim_domains',
    dkim_results Array(LowCardinality(String)) COMMENT 'Results beside dkim_domains (RFC 8601)',
    dkim_details Array(String) COMMENT 'human_result beside dkim_domains, the reporter''s own words',
    spf_domains Array(LowCardinality(String)) COMMENT 'Domains that SPF was checked for, aligned or not',
    spf_scopes Array(LowCardinality(String)) COMMENT 'mfrom or helo beside spf_domains',
    spf_results Array(LowCardinality(String)) COMMENT 'Results beside spf_domains (RFC 8601)',
    spf_details Array(String) COMMENT 'human_result beside spf_domains, the reporter''s own words',
    trust LowCardinality(String) COMMENT 'Why the report is trusted: dkim, authserv, spf, operator, mailbox, author'
)
SQL SECURITY DEFINER
AS
SELECT
    day, policy_domain, toString(report_key) AS report_key, reporter, reporter_proven, organization, header_from,
    envelope_from, envelope_to,
    if(source_ip = toIPv6('::'), '', replaceRegexpOne(toString(source_ip), '^::ffff:([0-9.]+)$', '\\1')) AS source_ip,
    messages, passed, dkim_aligned, spf_aligned, evaluated, disposition, published_policy, published_domain, reasons, comments,
    dkim_domains, dkim_selectors, dkim_results, dkim_details, spf_domains, spf_scopes, spf_results, spf_details, trust
FROM {tables}.dmarc_records FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Records of DMARC reports as reported, one row each'
