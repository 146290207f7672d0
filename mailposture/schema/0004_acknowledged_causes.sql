-- What somebody has acknowledged, by `mailposture acknowledge` or in the configuration. A few rows, kept for ever.
CREATE TABLE IF NOT EXISTS {tables}.acknowledged_causes {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    cause LowCardinality(String) COMMENT 'As in attention',
    subject String COMMENT 'The server, sender or record; empty for all of them',
    origin LowCardinality(String) COMMENT 'command or configuration',
    until Date COMMENT 'The day on which it expires',
    because String COMMENT 'Reason, as given',
    active Bool COMMENT 'false once it was withdrawn',
    updated_at DateTime64(3, 'UTC') COMMENT 'When it was acknowledged, or withdrawn'
)
ENGINE = {replacing}(updated_at)
ORDER BY (policy_domain, cause, subject, origin)
COMMENT 'Acknowledged causes'
