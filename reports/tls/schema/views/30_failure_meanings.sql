-- The words of `mailposture explain`.
CREATE OR REPLACE VIEW {views}.failure_meanings {on_cluster}
(
    term LowCardinality(String) COMMENT 'A result type, a category, a kind of reason code or a cause',
    kind LowCardinality(String) COMMENT 'result-type, category, reason-code or cause',
    category LowCardinality(String) COMMENT 'What kind of failure; empty for a cause',
    severity LowCardinality(String) COMMENT 'critical, warning or info',
    title String COMMENT 'In a few words',
    explanation String COMMENT 'What it means',
    action String COMMENT 'What to do',
    refuses_mail Bool COMMENT 'result-type: whether senders refuse delivery for it under an MTA-STS policy in mode enforce'
)
SQL SECURITY DEFINER
AS
SELECT term, kind, category, severity, title, explanation, action, refuses_mail
FROM {tables}.failure_words FINAL
COMMENT 'What failures mean and what to do'
