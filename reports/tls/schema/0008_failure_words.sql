-- The words of reports/tls/failures.py, so that dashboards say the same as `mailposture explain`. Written at every start.
CREATE TABLE IF NOT EXISTS {tables}.failure_words {on_cluster}
(
    term LowCardinality(String) COMMENT 'A result type, a category, a kind of reason code or a cause',
    kind LowCardinality(String) COMMENT 'result-type, category, reason-code or cause',
    category LowCardinality(String) COMMENT 'Category that it belongs to; empty for a cause',
    severity LowCardinality(String) COMMENT 'critical, warning or info',
    title String COMMENT 'In a few words',
    explanation String COMMENT 'What it means',
    action String COMMENT 'What to do',
    refuses_mail Bool COMMENT 'result-type: whether senders refuse delivery for it under an MTA-STS policy in mode enforce',
    updated_at DateTime64(3, 'UTC') COMMENT 'When the words were written'
)
ENGINE = {replacing}(updated_at)
ORDER BY (kind, term)
COMMENT 'What failures mean and what to do'
