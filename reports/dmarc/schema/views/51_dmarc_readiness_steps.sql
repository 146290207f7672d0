-- May the DMARC policy go to quarantine, to reject? The verdict and why, over the last 30 complete report days:
--
-- safe     nearly all own mail passes (99 % for quarantine, 99.5 % for reject), no source of ours fails, no unknown source waits
--          for a name, and enough was seen: 14 days, two reporters, a hundred own messages
-- not-yet  something of that is not so, or for reject: mailing lists and forwarders would cost more than 0.5 %, a tenth of the mail
--          passes by SPF alone (RFC 9989, section 7.4: reject must not rest on SPF alone), or the policy was not quarantine for four
--          weeks
-- unclear  nothing speaks against it, but too little was seen to say so
--
-- Whatever the verdict, how much mail of unknown origin there was is said: whose it is, nobody can know but the owner.
--
-- A parked domain sends nothing, so whatever is sent in its name is forged: both steps are safe, unless some of it passes: then
-- somebody does send with it, and it is not parked.
CREATE OR REPLACE VIEW {views}.dmarc_readiness_steps{_at} {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    scope LowCardinality(String) COMMENT 'domain; subdomains in a row of their own where they have another policy (sp); a subdomain with a DMARC record of its own, by its name',
    step LowCardinality(String) COMMENT 'quarantine or reject',
    verdict LowCardinality(String) COMMENT 'safe, not-yet or unclear',
    reasons Array(String) COMMENT 'Why, in sentences',
    policy LowCardinality(String) COMMENT 'Policy that receivers apply to all mail that fails, as most reporters that count found it last; empty if none did',
    published LowCardinality(String) COMMENT 'What is published, where that is stricter and for a test or a part of the mail only (p=quarantine; t=y); else empty',
    own_messages UInt64 COMMENT 'Aligned, forwarded and failing messages of ours, of reporters that count',
    refused_messages UInt64 COMMENT 'Of these those that fail: the step refuses them',
    share Nullable(Float64) COMMENT 'refused_messages / own_messages',
    unknown_messages UInt64 COMMENT 'Messages that nothing shows to be ours',
    reporters UInt64 COMMENT 'Reporters that count and saw one source of own mail, where most did',
    days UInt64 COMMENT 'Report days on which one source of own mail was seen, where that is most'
)
SQL SECURITY DEFINER
AS
WITH {end} AS today
SELECT
    policy_domain, scope, step,
    multiIf(parked, if(passing > 0, 'not-yet', 'safe'), notEmpty(against), 'not-yet', notEmpty(missing), 'unclear', 'safe') AS verdict,
    arrayConcat(multiIf(
        parked AND passing > 0, [concat(
            'The domain is parked, and ', toString(passing), ' messages pass DMARC as it: somebody sends with it. Find out who ',
            'in dmarc_sources_daily, before their mail is refused or a forger goes on.'
        )],
        parked, ['The domain is parked: it sends no mail, so all that is sent in its name is forged.'],
        empty(against) AND empty(missing), [concat(
            toString(own - refused), ' of ', toString(own), ' own messages pass, seen by ', toString(seen_by), ' reporters on ',
            toString(seen_days), ' days.'
        )],
        arrayConcat(against, missing)
    ), if(parked OR unknown = 0, [], [concat(
        toString(unknown), ' messages of unknown origin would be ', if(step = 'reject', 'refused', 'put into quarantine'), ' too: ',
        arrayStringConcat(arrayMap(each -> concat(each.2, ' ', toString(-each.1)), most_unknown), ', '),
        if(unknown_sources > length(most_unknown), concat(' and ', toString(unknown_sources - length(most_unknown)), ' more sources'), ''),
        '.'
    )])) AS reasons,
    policy, published, own AS own_messages, refused AS refused_messages, if(own = 0, NULL, refused / own) AS share,
    unknown AS unknown_messages, seen_by AS reporters, seen_days AS days
FROM
(
    SELECT
        *,
        arrayFilter(sentence -> sentence != '', [
            if(
                notEmpty(failing_sources),
                concat(
                    'Own mail fails and would be ', if(step = 'reject', 'refused', 'put into quarantine'), ': ',
                    arrayStringConcat(arrayMap(
                        each -> concat(each.1, ' ', toString(each.2), ' messages (', each.3, ')'), arraySlice(failing_sources, 1, 5)
                    ), ', '),
                    if(length(failing_sources) > 5, concat(' and ', toString(length(failing_sources) - 5), ' more sources'), ''), '.'
                ),
                if(own > 0 AND failing > own * if(step = 'reject', 0.005, 0.01), concat(toString(failing), ' of ', toString(own), ' own messages fail.'), '')
            ),
            if(
                notEmpty(waiting),
                concat(
                    'Unknown sources come back, and may be yours: ', arrayStringConcat(arraySlice(waiting, 1, 5), ', '),
                    if(length(waiting) > 5, concat(' and ', toString(length(waiting) - 5), ' more'), ''),
                    '. Name them under senders: in the configuration, or acknowledge that they are not.'
                ),
                ''
            ),
            if(
                step = 'reject' AND own > 0 AND changed > own * 0.005,
                concat(toString(changed), ' messages that mailing lists or forwarders changed would be refused.'), ''
            ),
            if(
                step = 'reject' AND own > 0 AND spf_only > own * 0.1,
                concat(toString(round(100 * spf_only / own, 1)), ' % of own mail passes by SPF alone, and fails once it is forwarded: sign it with DKIM.'), ''
            ),
            if(
                step = 'reject' AND policy = 'none',
                concat('The policy is none', if(published = '', '', concat(' (', published, ')')), ': go to quarantine first, and stay there for four weeks.'),
                ''
            ),
            if(
                step = 'reject' AND policy = 'quarantine' AND last_day_of_none >= today - 28,
                concat('The policy has been quarantine since ', toString(last_day_of_none + 1), ': wait until it has been so for four weeks.'), ''
            )
        ]) AS against,
        arrayFilter(sentence -> sentence != '', [
            if(own < 100, concat('Only ', toString(own), ' own messages were reported in 30 days; a hundred are needed.'), ''),
            if(seen_by < 2, concat('Only ', toString(seen_by), ' reporters that count saw own mail; two are needed.'), ''),
            if(seen_days < 14, concat('Only ', toString(seen_days), ' of 30 days have reports; 14 are needed.'), '')
        ]) AS missing
    FROM
    (
        SELECT
            domains.policy_domain AS policy_domain, parked, scope, arrayJoin(['quarantine', 'reject']) AS step,
            if(scope = 'subdomains', applied_subdomain_policy, applied_policy) AS policy,
            if(scope = 'subdomains', sp, p) AS requested,
            if(policy = requested, '', concat(if(scope = 'subdomains', 'sp=', 'p='), requested, '; ', reservation)) AS published, last_day_of_none,
            own, passing, refused, failing, changed, spf_only, unknown, unknown_sources, most_unknown, failing_sources, waiting,
            if(own = 0, 0, most_reporters) AS seen_by, if(own = 0, 0, most_days) AS seen_days
        FROM
        (
            SELECT
                policy_domain, parked, arrayJoin(if(sp IN ('', p), ['domain'], ['domain', 'subdomains'])) AS scope, p, sp,
                applied_policy, applied_subdomain_policy, reservation, if(scope = 'domain', published.last_day_of_none, last_day_of_none_of_subdomains) AS last_day_of_none
            FROM {views}.domains
            LEFT JOIN (SELECT * FROM {views}.dmarc_published{as_of} WHERE published_domain = policy_domain) AS published USING (policy_domain)
            UNION ALL
            SELECT
                policy_domain, parked, toString(published_domain) AS scope, p, sp, applied_policy, applied_subdomain_policy, reservation,
                of_subdomain.last_day_of_none
            FROM {views}.domains
            INNER JOIN (SELECT * FROM {views}.dmarc_published{as_of} WHERE published_domain != policy_domain) AS of_subdomain
                USING (policy_domain)
        ) AS domains
        LEFT JOIN
        (
            SELECT
                policy_domain, scope,
                sumIf(messages, pile != 'unknown') AS own,
                sum(passed_messages) AS passing,
                sum(refused_messages) AS refused,
                sumIf(messages, pile = 'ours-failing') AS failing,
                sumIf(refused_messages, pile = 'forwarded') AS changed,
                sum(spf_only_messages) AS spf_only,
                sumIf(messages, pile = 'unknown') AS unknown,
                countIf(pile = 'unknown') AS unknown_sources,
                groupArraySortedIf(3)((-toInt64(messages), source), pile = 'unknown') AS most_unknown,
                maxIf(reporters, pile != 'unknown') AS most_reporters,
                maxIf(days, pile != 'unknown') AS most_days,
                -- A source of ours that fails now and then is counted in the share; one of which a tenth fails is named.
                arrayReverseSort(each -> each.2, groupArrayIf(
                    (source, messages, toString(reason)),
                    pile = 'ours-failing' AND days >= 2 AND messages >= 10 AND messages * 10 >= messages_of_source
                )) AS failing_sources,
                arrayMap(each -> each.2, arrayReverseSort(groupArrayIf((messages, source), waits))) AS waiting
            FROM
            (
                SELECT *, sumIf(messages, pile IN ('aligned', 'ours-failing')) OVER (PARTITION BY policy_domain, scope, source) AS messages_of_source
                FROM {views}.dmarc_readiness_sources{as_of}
            )
            GROUP BY policy_domain, scope
        ) AS sources USING (policy_domain, scope)
    )
)
COMMENT 'What dmarc_readiness keeps, worked out from the sources: slow'
