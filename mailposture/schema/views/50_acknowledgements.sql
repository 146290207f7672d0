-- Who has acknowledged what, as of today: a cause of a domain, at one subject or at all. The newest entry counts.
CREATE OR REPLACE VIEW {views}.acknowledgements {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    cause LowCardinality(String) COMMENT 'As in attention',
    subject String COMMENT 'The server, sender or record; empty for all of them',
    until Date COMMENT 'The day on which it expires, and the cause counts again',
    because String COMMENT 'Reason, as given',
    origin LowCardinality(String) COMMENT 'command or configuration',
    updated_at DateTime64(3, 'UTC') COMMENT 'Since when'
)
SQL SECURITY DEFINER
AS
SELECT policy_domain, cause, subject, until, because, origin, updated_at
FROM {tables}.acknowledged_causes FINAL
WHERE active
COMMENT 'What was acknowledged, until when and why'
