-- The words of `mailposture explain`.
CREATE OR REPLACE VIEW {views}.failure_meanings {on_cluster}
(
    term LowCardinality(String) COMMENT 'A result type, a category or a kind of reason code',
    kind LowCardinality(String) COMMENT 'result-type, category or reason-code',
    category LowCardinality(String) COMMENT 'What kind of failure; see failure_meanings',
    severity LowCardinality(String) COMMENT 'critical, warning or info',
    title String COMMENT 'In a few words',
    explanation String COMMENT 'What it means',
    action String COMMENT 'What to do'
)
SQL SECURITY DEFINER
AS
SELECT term, kind, category, severity, title, explanation, action
FROM {tables}.failure_words FINAL
COMMENT 'What failures mean and what to do'
