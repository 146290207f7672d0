-- One row per record; signatures stand in arrays, in the order of the report. Read with FINAL.
CREATE TABLE IF NOT EXISTS {tables}.dmarc_records {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain that the report is about',
    day Date COMMENT 'Report day: the UTC date of the middle of the reported period',
    report_key UInt64 COMMENT 'The report: dmarc_reports.report_key',
    record_index UInt32 COMMENT 'Position of the record in the report',
    reporter LowCardinality(String) COMMENT 'Who reports: the organizational domain that DKIM or SPF proves, else of the e-mail address in the report',
    reporter_proven Bool COMMENT 'Whether the reporter is proven (DKIM, SPF); else it is only what the report says',
    organization LowCardinality(String) COMMENT 'org_name as the reporter wrote it: a caption, never an identity',
    header_from LowCardinality(String) COMMENT 'Domain in the From field of the messages: ours, or a subdomain',
    envelope_from LowCardinality(String) COMMENT 'Domain of MAIL FROM, which SPF was checked for; empty if not reported',
    envelope_to LowCardinality(String) COMMENT 'Domain of the recipients; empty if not reported',
    source_ip IPv6 COMMENT 'Address that the messages came from, IPv4 as ::ffff:a.b.c.d; :: if the report has no usable one',
    messages UInt64 COMMENT 'Messages that were evaluated alike',
    passed Bool COMMENT 'DMARC pass: SPF or DKIM passed and was aligned, as policy_evaluated says',
    dkim_aligned Bool COMMENT 'Whether policy_evaluated says that DKIM passed and was aligned',
    spf_aligned Bool COMMENT 'Whether policy_evaluated says that SPF passed and was aligned',
    evaluated Bool COMMENT 'Whether policy_evaluated says that the messages passed, or that they failed; else they count as neither',
    disposition LowCardinality(String) COMMENT 'What was done: none, quarantine or reject; by spam filters too',
    published_policy LowCardinality(String) COMMENT 'Policy that applied to this header_from: p, or sp for subdomains; one step less with t=y, or where pct spared it',
    published_domain LowCardinality(String) COMMENT 'Domain whose record that is: ours, or a subdomain with a DMARC record of its own',
    reasons Array(LowCardinality(String)) COMMENT 'Why the policy was not applied: types of overrides',
    comments Array(String) COMMENT 'Comments beside reasons, in the same order, cleaned and capped',
    dkim_domains Array(LowCardinality(String)) COMMENT 'Signing domains (d=), aligned or not',
    dkim_selectors Array(LowCardinality(String)) COMMENT 'Selectors (s=) beside dkim_domains; empty if not reported',
    dkim_results Array(LowCardinality(String)) COMMENT 'Results beside dkim_domains (RFC 8601), in lower case as the reporter wrote them',
    dkim_details Array(String) COMMENT 'human_result beside dkim_domains, cleaned and capped',
    spf_domains Array(LowCardinality(String)) COMMENT 'Domains that SPF was checked for, aligned or not',
    spf_scopes Array(LowCardinality(String)) COMMENT 'mfrom or helo beside spf_domains; empty if not reported',
    spf_results Array(LowCardinality(String)) COMMENT 'Results beside spf_domains (RFC 8601), in lower case as the reporter wrote them',
    spf_details Array(String) COMMENT 'human_result beside spf_domains, cleaned and capped',
    trust LowCardinality(String) COMMENT 'Why the report is trusted: dkim, authserv, spf, operator, mailbox, author',
    version UInt8 COMMENT 'Rank of trust; the higher version of a row is kept'
)
ENGINE = {replacing}(version)
PARTITION BY toYYYYMM(day)
ORDER BY (policy_domain, day, report_key, record_index)
TTL day + INTERVAL {retention_days} DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, replicated_deduplication_window = 0,
    min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1
COMMENT 'One row per record of a DMARC aggregate report'
