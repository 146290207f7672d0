-- Networks that shared services publish in their SPF records, as reports/dmarc/catalogue.yaml has them. Written at every start.
CREATE TABLE IF NOT EXISTS {tables}.sending_networks {on_cluster}
(
    service LowCardinality(String) COMMENT 'Name of the service',
    first_ip IPv6 COMMENT 'First address of the network, IPv4 as ::ffff:a.b.c.d',
    last_ip IPv6 COMMENT 'Last address of the network',
    active Bool COMMENT 'false once the network has left the catalogue',
    updated_at DateTime64(3, 'UTC') COMMENT 'When the catalogue was read'
)
ENGINE = {replacing}(updated_at)
ORDER BY (service, first_ip, last_ip)
COMMENT 'Networks of services that anybody can send through'
