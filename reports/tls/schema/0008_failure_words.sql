-- The words of reports/tls/failures.py, so that dashboards say the same as `mailposture explain`. Written at every start.
CREATE TABLE IF NOT EXISTS {tables}.failure_words {on_cluster}
(
    term LowCardinality(String) COMMENT 'A result type or a category',
    kind LowCardinality(String) COMMENT 'result-type or category',
    category LowCardinality(String) COMMENT 'Category that it belongs to',
    severity LowCardinality(String) COMMENT 'critical, warning or info',
    title String COMMENT 'In a few words',
    explanation String COMMENT 'What it means',
    action String COMMENT 'What to do',
    updated_at DateTime64(3, 'UTC') COMMENT 'When the words were written'
)
ENGINE = {replacing}(updated_at)
ORDER BY (kind, term)
COMMENT 'What failures mean and what to do'
