-- Of a shared service anybody can be a customer: that a domain lets its network send says nothing about who sends from there.
CREATE OR REPLACE VIEW {views}.spf_networks {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    first_ip IPv6 COMMENT 'First address of a network that its SPF record lets send, IPv4 as ::ffff:a.b.c.d',
    last_ip IPv6 COMMENT 'Last address of the network',
    via Array(String) COMMENT 'Names through which the record lists it, from the outside in: what it includes, then the host of a or mx',
    shared_service String COMMENT 'Service of the catalogue that the network is of, and that anybody can be a customer of; else empty',
    first_day Date COMMENT 'First day on which our probes found it listed',
    last_day Date COMMENT 'Last day on which they did'
)
SQL SECURITY DEFINER
AS
WITH
    (SELECT (groupArray(domain), groupArray(toString(service))) FROM {tables}.sending_services FINAL WHERE active AND shared) AS shared,
    (SELECT groupArray((first_ip, last_ip, toString(service))) FROM {tables}.sending_networks FINAL WHERE active) AS shared_networks,
    shared.1 AS shared_domains, shared.2 AS shared_services,
    arrayFirst(
        name -> name != '', arrayMap(name -> transform(cutToFirstSignificantSubdomain(name), shared_domains, shared_services, ''), via)
    ) AS service_by_name,
    arrayFirst(each -> each.1 <= listed.last_ip AND each.2 >= listed.first_ip, shared_networks).3 AS service_by_network
SELECT
    policy_domain, first_ip, last_ip, via, if(service_by_name != '', service_by_name, service_by_network) AS shared_service,
    first_day, last_day
FROM
(
    SELECT policy_domain, first_ip, last_ip, via, min(days.first_day) AS first_day, max(days.last_day) AS last_day
    FROM {tables}.spf_networks AS days
    GROUP BY policy_domain, first_ip, last_ip, via
) AS listed
COMMENT 'Networks that SPF records of our domains let send'
