-- Which of four piles each message in our name belongs in, worked out from the records and from all that is known now. Many
-- joins: dmarc_sources_daily has what came out of it, kept.
--
--
-- aligned       SPF passed as ours; or DKIM alone did, from a sender of ours
-- forwarded     DKIM alone passed, from nobody known as a sender of ours; or it failed, and the reporter gave a sign of
--               forwarding (an override forwarded, trusted_forwarder or mailing_list, or a comment with arc=pass)
-- ours-failing  it failed, without such a sign, and is from a sender of ours
-- unknown       it failed, and nothing shows that it is ours: perhaps forged; or its report gives no verdict
--
-- Of a parked domain, which sends none, all mail is in unknown, even what passes: then somebody has set up a sender.
--
-- Own mail is the first three together. A sender of ours is known, in this order: by `senders:` of the configuration (address, domain, service); by
-- another domain of the configuration, or a name below that or this one, that the message authenticates as (with DKIM that passes as ours
-- SPF must say so); by what the message authenticates as, if the same
-- was seen beside aligned mail of this domain; by its address, if that passed SPF as ours at another time, or
-- is in our SPF record as our probes read it (spf_networks). Such evidence is good from 90 days before a message until 30 days after it,
-- and what reports say comes only from reporters that count (dmarc_reporters).
--
-- Of a shared service anybody can be a customer. So neither its own domain, nor an address in its published networks, nor that our SPF
-- record includes it, makes a message that fails ours: only a domain of one tenant (ours.onmicrosoft.com) does. Else it is possibly ours: that is a mark in `unknown`, as it is for
-- every service that authenticates as itself, and never a reason to page.
--
-- A source is named by what the configuration calls its address; by the service that the message authenticates as; by the service in
-- whose published networks its address is; where it is unknown, by the registered domain that it authenticates as, so that a vendor
-- whose addresses change is one source; by the registered domain of its reverse name, if that leads back to the address, and by
-- who runs its network, where `source_names` of the configuration has them looked up; else by the network of its address. Such a name is no
-- evidence, but that an address belongs to a shared service.
--
-- A source has several rows a day where its messages differ in what they authenticated as or in what was done with them.
CREATE OR REPLACE VIEW {views}.dmarc_source_piles {on_cluster}
(
    day Date COMMENT 'Report day: the UTC date of the middle of the reported period',
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    header_from LowCardinality(String) COMMENT 'Domain in the From field of the messages: ours, or a subdomain',
    source String COMMENT 'Who sends: a sender of the configuration, a service, a domain, a host name, a network',
    source_kind LowCardinality(String) COMMENT 'own (named in the configuration), service, domain (that it authenticates as), host, network or unknown',
    source_ip IPv6 COMMENT 'Address that the messages came from, IPv4 as ::ffff:a.b.c.d; :: if the report has no usable one',
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
WITH
    -- In one array of constants, which a hash table is made of, each name of a domain is looked up once.
    (SELECT groupArray(toString(policy_domain)) FROM {views}.domains WHERE NOT parked) AS our_domains,
    (SELECT (
        groupArray(domain), groupArray(rank), groupArray(toString(service)), groupUniqArrayIf(rank, shared), groupUniqArrayIf(rank, forwards),
        groupArrayIf(domain, tenants)
    ) FROM {tables}.sending_services FINAL WHERE active) AS catalogue,
    catalogue.1 AS domains, catalogue.2 AS ranks, catalogue.3 AS services,
    catalogue.4 AS shared_ranks, catalogue.5 AS forwarding_ranks, catalogue.6 AS tenant_domains,
    counting AS
    (
        SELECT policy_domain, groupArray(cityHash64(toString(reporter), toString(trust))) AS counting_reporters
        FROM {views}.dmarc_reporters WHERE counts GROUP BY policy_domain
    ),
    own_addresses AS
    (
        WITH
            mapValues(mapFilter((who, _) -> has(counting_reporters, who), first_days)) AS counted_first_days,
            mapValues(mapFilter((who, _) -> has(counting_reporters, who), last_days)) AS counted_last_days
        SELECT
            policy_domain, source_ip,
            min(arrayMin(counted_first_days)) AS own_first_day,
            max(arrayMax(counted_last_days)) AS own_last_day,
            arrayFirst(
                each -> each.1 <= source_ip AND source_ip <= each.2,
                (SELECT groupArray((first_ip, last_ip, service)) FROM {tables}.sending_networks FINAL WHERE active)
            ).3 AS service_by_network
        FROM {tables}.dmarc_own_addresses
        INNER JOIN counting USING (policy_domain)
        WHERE notEmpty(counted_first_days)
        GROUP BY policy_domain, source_ip
    ),
    companions AS
    (
        WITH
            mapValues(mapFilter((who, _) -> has(counting_reporters, who), first_days)) AS counted_first_days,
            mapValues(mapFilter((who, _) -> has(counting_reporters, who), last_days)) AS counted_last_days
        SELECT
            policy_domain, domain, by_spf,
            min(arrayMin(counted_first_days)) AS seen_first,
            max(arrayMax(counted_last_days)) AS seen_last,
            cutToFirstSignificantSubdomain(domain) AS registered
        FROM {tables}.dmarc_own_companions
        INNER JOIN counting USING (policy_domain)
        WHERE notEmpty(counted_first_days)
        GROUP BY policy_domain, domain, by_spf
    ),
    own_services AS
    (
        -- Few: what is in our SPF record, and services. Forwarders are many, and none of them is here.
        SELECT
            policy_domain,
            groupArrayIf(200)((domain, seen_first, seen_last), by_spf) AS companions_by_spf,
            groupArrayIf(200)((toString(known.service), seen_first, seen_last), known.service != '' AND (by_spf OR NOT forwards)) AS services_as_us
        FROM companions
        LEFT JOIN (SELECT domain, service, forwards FROM {tables}.sending_services FINAL WHERE active) AS known
            ON known.domain = companions.registered
        GROUP BY policy_domain
    ),
    configured AS
    (
        SELECT
            policy_domain,
            -- Of networks within each other the smallest names the sender.
            arraySort(
                each -> (each.2, bitNot(toUInt128(each.1)), each.3), groupArrayIf((first_ip, last_ip, sender), service = '' AND domain = '')
            ) AS sender_networks,
            arraySort(groupArrayIf((toString(service), sender), service != '')) AS sender_services,
            -- Of domains within each other the longest names the sender.
            arraySort(each -> (-length(each.1), each), groupArrayIf((domain, sender), domain != '')) AS sender_domains
        FROM {tables}.configured_senders FINAL
        WHERE active
        GROUP BY policy_domain
    ),
    listed AS
    (
        SELECT policy_domain, arraySort(groupArray((first_ip, last_ip, first_day, last_day))) AS listed_networks
        FROM {views}.spf_networks
        WHERE shared_service = ''
        GROUP BY policy_domain
    )
SELECT
    day, policy_domain, header_from,
    multiIf(
        sender_by_address != '', sender_by_address,
        service != '', service,
        sender_by_domain != '', sender_by_domain,
        service_of_address != '', service_of_address,
        names_itself, authenticated_domain,
        service_of_host != '', service_of_host,
        host_domain != '', host_domain,
        address_network != '', address_network,
        address = '', 'unknown address',
        position(address, ':') = 0, concat(toString(IPv4CIDRToRange(toIPv4OrDefault(address), 24).1), '/24'),
        concat(toString(IPv6CIDRToRange(packed_ip, 48).1), '/48')
    ) AS source,
    multiIf(
        sender_by_address != '' OR (service = '' AND sender_by_domain != ''), 'own',
        service != '' OR service_of_address != '', 'service',
        names_itself, 'domain',
        service_of_host != '', 'service',
        host_domain != '', 'host',
        address = '', 'unknown',
        'network'
    ) AS source_kind,
    packed_ip AS source_ip,
    which AS pile,
    which = 'unknown' AND NOT is_parked AND (service != '' OR is_own_address OR is_unevaluated) AS possibly_ours,
    multiIf(
        is_parked AND passed, 'it passes as the domain, which is parked: somebody has set up a sender',
        is_parked, 'the domain is parked: nobody sends in its name',
        is_unevaluated, 'the report says neither that it passed nor that it failed',
        spf_aligned AND dkim_aligned, 'SPF and DKIM pass as you',
        spf_aligned, 'SPF passes as you',
        which = 'aligned', concat('DKIM passes as you, and ', sender_evidence),
        dkim_aligned, 'DKIM passes as you, from an address that is not known to send for you: likely forwarded',
        forwarding = 'arc', 'it failed, and the reporter trusts who passed it on (arc=pass)',
        forwarding != '', concat('it failed, and the reporter says that it was passed on (', forwarding, ')'),
        which = 'ours-failing', concat('it failed, and ', sender_evidence),
        service_sends_for_us, concat('possibly yours: ', service, ' also sends mail that authenticates as you, but anybody can be a customer there'),
        service != '', concat('possibly yours: ', service, ' authenticates it as itself, but anybody can be a customer there'),
        is_own_address AND service_of_address != '', concat('possibly yours: the address passes SPF as you at other times, but it is of ', service_of_address, ', where anybody can be a customer'),
        notEmpty(authenticated), concat('it authenticates as ', arrayStringConcat(authenticated, ', '), ', which was never seen with mail of yours'),
        'nothing shows that it is yours: perhaps forged'
    ) AS evidence,
    if(which = 'forwarded' AND NOT passed, 'changed-on-the-way', fault) AS reason,
    messages,
    if(passed, messages, 0) AS passed_messages,
    if(spf_aligned, messages, 0) AS spf_aligned_messages,
    if(dkim_aligned, messages, 0) AS dkim_aligned_messages,
    if(disposition = 'quarantine', messages, 0) AS quarantined_messages,
    if(disposition = 'reject', messages, 0) AS rejected_messages,
    if(disposition IN ('quarantine', 'reject'), 0, messages) AS delivered_messages,
    counted_messages, published_policy, published_domain, reporters, counted_reporters
FROM
(
    SELECT
        *,
        multiIf(
            is_parked OR is_unevaluated, 'unknown',
            spf_aligned OR (dkim_aligned AND sender_evidence != ''), 'aligned',
            dkim_aligned OR forwarding != '', 'forwarded',
            sender_evidence != '', 'ours-failing',
            'unknown'
        ) AS which,
        which = 'unknown' AND NOT is_unevaluated AND authenticated_domain != '' AS names_itself
    FROM
    (
        SELECT
            *,
            -- Why a message that SPF did not align is from a sender of ours, the strongest evidence first.
            multiIf(
                spf_aligned, '',
                sender_by_address != '', concat('the address is of ', sender_by_address, ', a sender in the configuration'),
                sender_by_domain != '', concat('it authenticates as a domain of ', sender_by_domain, ', a sender in the configuration'),
                sender_by_service != '', concat(service, ' is a sender in the configuration', if(shared, ', though other customers of it may send too', '')),
                as_ours, if(passed, 'SPF passes for a name of yours', 'SPF or DKIM passes for a name of yours'),
                other_domain_of_ours != '', concat('it authenticates as ', other_domain_of_ours, ', another domain of yours, or below one'),
                companion_sends_for_us, concat('it authenticates as ', arrayStringConcat(particular, ', '), ', as aligned mail of yours does at other times'),
                service_sends_for_us AND NOT shared, concat(service, ' sends mail that authenticates as you at other times'),
                passed AND service != '' AND NOT forwards, concat(service, ' sent it, signed as you'),
                is_own_address AND NOT shared AND service_of_address = '', 'the address passes SPF as you at other times',
                is_listed AND NOT shared AND service_of_address = '', 'the address is in your SPF record',
                ''
            ) AS sender_evidence
        FROM
        (
            SELECT
                *,
                arrayFirst(each -> each.1 <= packed_ip AND packed_ip <= each.2, sender_networks).3 AS sender_by_address,
                if(service = '', '', arrayFirst(each -> each.1 = service, sender_services).2) AS sender_by_service,
                arrayFirst(
                    each -> arrayExists(name -> name = each.1 OR endsWith(name, concat('.', each.1)), authenticated), sender_domains
                ).2 AS sender_by_domain,
                if(
                    cutToFirstSignificantSubdomain(authenticated[1]) != '', cutToFirstSignificantSubdomain(authenticated[1]), authenticated[1]
                ) AS authenticated_domain,
                arrayFirst(
                    name -> transform(name, our_domains, arrayEnumerate(our_domains), 0) > 0
                        OR transform(cutToFirstSignificantSubdomain(name), our_domains, arrayEnumerate(our_domains), 0) > 0,
                    authenticated
                ) AS other_domain_of_ours,
                own_last_day >= day - {evidence_after} AND own_first_day <= day + {evidence_before} AS is_own_address,
                arrayExists(
                    each -> each.1 <= packed_ip AND packed_ip <= each.2 AND each.4 >= day - {evidence_after} AND each.3 <= day + {evidence_before}, listed_networks
                ) AS is_listed,
                notEmpty(particular)
                    AND arrayExists(each -> has(particular, each.1) AND each.3 >= day - {evidence_after} AND each.2 <= day + {evidence_before}, companions_by_spf)
                    AS companion_sends_for_us,
                service != '' AND arrayExists(each -> each.1 = service AND each.3 >= day - {evidence_after} AND each.2 <= day + {evidence_before}, services_as_us)
                    AS service_sends_for_us
            FROM
            (
                SELECT
                    each_day.policy_domain AS policy_domain, day, header_from, each_day.source_ip AS packed_ip, spf_aligned, dkim_aligned,
                    spf_aligned OR dkim_aligned AS passed,
                    policy_domain IN (SELECT policy_domain FROM {views}.domains WHERE parked) AS is_parked, fault = 'no-verdict' AS is_unevaluated, disposition, published_policy, published_domain, forwarding, fault, as_ours,
                    authenticated, messages, counted_messages, reporters, counted_reporters, own_first_day, own_last_day, companions_by_spf, services_as_us,
                    sender_networks, sender_services, sender_domains, listed_networks,
                    if(packed_ip = toIPv6('::'), '', replaceRegexpOne(toString(packed_ip), '^::ffff:([0-9.]+)$', '\\1')) AS address,
                    transform(host_domain, domains, ranks, 0) AS rank_of_host,
                    transform(rank_of_host, ranks, services, '') AS service_of_host,
                    multiIf(
                        service_by_network != '', service_by_network,
                        has(shared_ranks, rank_of_host), service_of_host,
                        ''
                    ) AS service_of_address,
                    host_domain, address_network,
                    -- 0 is no place in the catalogue, and no service.
                    arrayMap(name -> transform(cutToFirstSignificantSubdomain(name), domains, ranks, 0), authenticated) AS found,
                    arrayMin(arrayFilter(rank -> rank > 0, found)) AS best,
                    transform(best, ranks, services, '') AS service,
                    has(shared_ranks, best) AS shared,
                    has(forwarding_ranks, best) AS forwards,
                    -- What speaks for one sender alone: no domain that all customers of a service have.
                    arrayFilter((name, rank) -> rank = 0 OR has(tenant_domains, cutToFirstSignificantSubdomain(name)), authenticated, found)
                        AS particular
                FROM {views}.dmarc_source_days AS each_day
                LEFT JOIN own_addresses USING (policy_domain, source_ip)
                LEFT JOIN
                (
                    SELECT source_ip, toString(domain) AS host_domain, toString(network) AS address_network FROM {tables}.sender_names FINAL
                ) AS looked_up USING (source_ip)
                LEFT JOIN own_services USING (policy_domain)
                LEFT JOIN configured USING (policy_domain)
                LEFT JOIN listed USING (policy_domain)
            )
        )
    )
)
COMMENT 'What dmarc_sources_daily keeps, worked out from the records: slow'
