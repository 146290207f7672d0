-- Who sends mail in our name, and in which of four piles it belongs:
--
-- aligned       SPF passed as ours; or DKIM alone did, from a sender of ours
-- forwarded     DKIM alone passed, from nobody known as a sender of ours; or it failed, and the reporter gave a sign of
--               forwarding (an override forwarded, trusted_forwarder or mailing_list, or a comment with arc=pass)
-- ours-failing  it failed, without such a sign, and is from a sender of ours
-- unknown       it failed, and nothing shows that it is ours: perhaps forged
--
-- Own mail is the first three together. A sender of ours is known, in this order: by `senders:` of the configuration; by
-- another domain of the configuration that the message authenticates as; by what the message authenticates as, if the same
-- was seen beside aligned mail of this domain; by its address, if that passed SPF as ours at another time. Such evidence is
-- good from 90 days before a message until 30 days after it, and comes only from reporters that count (dmarc_reporters).
--
-- Of a shared service anybody can be a customer. So neither its own domain, nor its address, makes a message that fails ours: only a
-- domain of one tenant (ours.onmicrosoft.com) does. Else it is possibly ours: that is a mark in `unknown`, as it is for
-- every service that authenticates as itself, and never a reason to page.
--
-- A source has several rows a day where its messages differ in what they authenticated as or in what was done with them: add them
-- up. Grouping them here would cost every question more than the rest of the view does.
CREATE OR REPLACE VIEW {views}.dmarc_sources_daily {on_cluster}
(
    day Date COMMENT 'Report day: the UTC date of the middle of the reported period',
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    header_from LowCardinality(String) COMMENT 'Domain in the From field of the messages: ours, or a subdomain',
    source String COMMENT 'Who sends: a sender of the configuration, a service, a host name, a network',
    source_kind LowCardinality(String) COMMENT 'own (named in the configuration), service, host, network or unknown',
    source_ip String COMMENT 'Address that the messages came from; empty if the report has no usable one',
    pile LowCardinality(String) COMMENT 'aligned, ours-failing, forwarded or unknown',
    possibly_ours Bool COMMENT 'unknown: a service, or a shared address, that may send for us. A mark, never a reason to page',
    evidence String COMMENT 'Why it is in this pile, in words',
    reason LowCardinality(String) COMMENT 'What is wrong, as `mailposture explain` explains it; empty if DMARC passed',
    messages UInt64 COMMENT 'Messages with our domain in From',
    passed_messages UInt64 COMMENT 'Messages that passed DMARC',
    spf_aligned_messages UInt64 COMMENT 'Messages with an aligned SPF pass',
    dkim_aligned_messages UInt64 COMMENT 'Messages with an aligned DKIM pass',
    quarantined_messages UInt64 COMMENT 'Messages that the reporter put into quarantine, for whatever reason',
    rejected_messages UInt64 COMMENT 'Messages that the reporter rejected, for whatever reason',
    delivered_messages UInt64 COMMENT 'Messages that were neither',
    counted_messages UInt64 COMMENT 'Messages of reporters that count in alerts (dmarc_reporters); forged reports add nothing here',
    published_policy LowCardinality(String) COMMENT 'Policy that applied to this header_from: p, or sp for subdomains',
    reporters Array(LowCardinality(String)) COMMENT 'Who reported them, at most 100; groupUniqArrayArray(reporters) combines rows'
)
SQL SECURITY DEFINER
AS
WITH
    30 AS days_after, 90 AS days_before,
    (SELECT groupArray((domain, service, rank, shared, forwards, tenants)) FROM (
        SELECT * FROM {tables}.sending_services FINAL WHERE active ORDER BY domain
    )) AS catalogue,
    arrayMap(each -> each.1, catalogue) AS catalogue_domains,
    arrayEnumerate(catalogue) AS catalogue_places,
    (SELECT groupArray(toString(policy_domain)) FROM {views}.domains) AS our_domains,
    -- The place in the catalogue of a domain, by its last three labels or its last two; 0 if it is not there.
    name -> arrayFirst(place -> place > 0, arrayMap(
        labels -> transform(arrayStringConcat(arraySlice(splitByChar('.', name), -labels), '.'), catalogue_domains, catalogue_places, 0),
        [3, 2]
    )) AS place_of,
    arrayMap(name -> place_of(name), authenticated) AS places,
    arrayFilter(place -> place > 0, places) AS known_places,
    catalogue[arraySort(place -> catalogue[place].3, known_places)[1]] AS found,
    found.2 AS service,
    (first, last) -> (first <= day + days_after AND last >= day - days_before) AS is_recent,
    -- What speaks for one sender alone: no domain that all customers of a service share.
    arrayFilter((name, place) -> place = 0 OR catalogue[place].6, authenticated, places) AS particular,
    arrayExists(each -> is_recent(each.2, each.3) AND has(particular, each.1), companions_by_spf) AS is_known_by_companion,
    service != '' AND arrayExists(
        each -> is_recent(each.2, each.3) AND place_of(each.1) > 0 AND catalogue[place_of(each.1)].2 = service,
        if(found.5, companions_by_spf, companions)
    ) AS service_sends_for_us,
    own_last_day != toDate(0) AND is_recent(own_first_day, own_last_day) AS is_own_address,
    arrayFirst(each -> each.1 <= source_ip_raw AND source_ip_raw <= each.2, sender_networks).3 AS sender_by_address,
    if(service = '', '', arrayFirst(each -> each.1 = service, sender_services).2) AS sender_by_service,
    arrayFirst(name -> has(our_domains, name), authenticated) AS another_domain_of_ours,
    spf_aligned OR dkim_aligned AS passed,
    -- The evidence that a message which SPF did not align is from a sender of ours, strongest first.
    multiIf(
        sender_by_address != '', concat('the address is of ', sender_by_address, ', a sender in the configuration'),
        sender_by_service != '', concat(service, ' is a sender in the configuration'),
        another_domain_of_ours != '', concat('it authenticates as ', another_domain_of_ours, ', another domain of yours'),
        is_known_by_companion, concat('it authenticates as ', arrayStringConcat(particular, ', '), ', as aligned mail of yours does at other times'),
        service_sends_for_us AND NOT found.4, concat(service, ' sends mail that authenticates as you at other times'),
        passed AND service != '' AND NOT found.5, concat(service, ' sent it, signed as you'),
        is_own_address AND (service = '' OR NOT found.4), 'the address passes SPF as you at other times',
        ''
    ) AS evidence_of_ours,
    multiIf(
        spf_aligned OR (dkim_aligned AND evidence_of_ours != ''), 'aligned',
        dkim_aligned OR forwarding != '', 'forwarded',
        evidence_of_ours != '', 'ours-failing',
        'unknown'
    ) AS which_pile
SELECT
    day, policy_domain, header_from,
    multiIf(
        sender_by_address != '', sender_by_address,
        service != '', service,
        source_ip_raw = toIPv6('::'), 'unknown address',
        startsWith(shown_ip, '::ffff:'), concat(toString(IPv4CIDRToRange(toIPv4OrDefault(address), 24).1), '/24'),
        concat(toString(IPv6CIDRToRange(source_ip_raw, 48).1), '/48')
    ) AS source,
    multiIf(sender_by_address != '', 'own', service != '', 'service', source_ip_raw = toIPv6('::'), 'unknown', 'network') AS source_kind,
    address AS source_ip,
    which_pile AS pile,
    which_pile = 'unknown' AND (service != '' OR is_own_address) AS possibly_ours,
    multiIf(
        spf_aligned AND dkim_aligned, 'SPF and DKIM pass as you',
        spf_aligned, 'SPF passes as you',
        which_pile = 'aligned', concat('DKIM passes as you, and ', evidence_of_ours),
        dkim_aligned, 'DKIM passes as you, from an address that is not known to send for you: likely forwarded',
        forwarding = 'arc', 'it failed, and the reporter trusts who passed it on (arc=pass)',
        forwarding != '', concat('it failed, and the reporter says that it was passed on (', forwarding, ')'),
        which_pile = 'ours-failing', concat('it failed, and ', evidence_of_ours),
        service_sends_for_us, concat('possibly yours: ', service, ' also sends mail that authenticates as you, but anybody can be a customer there'),
        service != '', concat('possibly yours: ', service, ' authenticates it as itself, but anybody can be a customer there'),
        is_own_address, 'possibly yours: the address also sends mail that passes SPF as you, but others share it',
        notEmpty(authenticated), concat('it authenticates as ', arrayStringConcat(authenticated, ', '), ', which was never seen with mail of yours'),
        'nothing shows that it is yours: perhaps forged'
    ) AS evidence,
    if(which_pile = 'forwarded' AND NOT passed, 'changed-on-the-way', fault) AS reason,
    messages,
    if(passed, messages, 0) AS passed_messages,
    if(spf_aligned, messages, 0) AS spf_aligned_messages,
    if(dkim_aligned, messages, 0) AS dkim_aligned_messages,
    if(disposition = 'quarantine', messages, 0) AS quarantined_messages,
    if(disposition = 'reject', messages, 0) AS rejected_messages,
    if(disposition IN ('quarantine', 'reject'), 0, messages) AS delivered_messages,
    counted_messages, published_policy, reporters
FROM
(
    SELECT
        * EXCEPT (source_ip), source_ip AS source_ip_raw, toString(source_ip) AS shown_ip,
        if(source_ip = toIPv6('::'), '', replaceOne(shown_ip, '::ffff:', '')) AS address
    FROM {views}.dmarc_source_days
) AS each_day
LEFT JOIN
(
    SELECT policy_domain, source_ip AS source_ip_raw, min(first_day) AS own_first_day, max(last_day) AS own_last_day
    FROM {tables}.dmarc_own_addresses
    INNER JOIN
    (
        SELECT policy_domain, groupArray(cityHash64(toString(reporter), toString(trust))) AS counting
        FROM {views}.dmarc_reporters WHERE counts GROUP BY policy_domain
    ) AS reporting USING (policy_domain)
    WHERE hasAny(reporters, counting)
    GROUP BY policy_domain, source_ip_raw
) AS own_address USING (policy_domain, source_ip_raw)
LEFT JOIN
(
    SELECT
        policy_domain,
        groupArray((domain, seen_first, seen_last)) AS companions,
        groupArrayIf((domain, seen_first, seen_last), by_spf) AS companions_by_spf
    FROM
    (
        SELECT policy_domain, domain, by_spf, min(first_day) AS seen_first, max(last_day) AS seen_last
        FROM {tables}.dmarc_own_companions
        INNER JOIN
        (
            SELECT policy_domain, groupArray(cityHash64(toString(reporter), toString(trust))) AS counting
            FROM {views}.dmarc_reporters WHERE counts GROUP BY policy_domain
        ) AS reporting USING (policy_domain)
        WHERE hasAny(reporters, counting)
        GROUP BY policy_domain, domain, by_spf
    )
    GROUP BY policy_domain
) AS companions_of_domain USING (policy_domain)
LEFT JOIN
(
    SELECT
        policy_domain,
        groupArrayIf((first_ip, last_ip, sender), service = '') AS sender_networks,
        groupArrayIf((toString(service), sender), service != '') AS sender_services
    FROM {tables}.configured_senders FINAL
    WHERE active
    GROUP BY policy_domain
) AS configured USING (policy_domain)
COMMENT 'Messages sent in our name per day and source, by pile'
