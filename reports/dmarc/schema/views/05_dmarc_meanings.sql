-- The words of `mailposture explain`.
CREATE OR REPLACE VIEW {views}.dmarc_meanings {on_cluster}
(
    term LowCardinality(String) COMMENT 'A pile or a reason of dmarc_sources_daily',
    kind LowCardinality(String) COMMENT 'pile or reason',
    title String COMMENT 'In a few words',
    explanation String COMMENT 'What it means',
    action String COMMENT 'What to do'
)
SQL SECURITY DEFINER
AS
SELECT term, kind, title, explanation, action
FROM {tables}.dmarc_words FINAL
COMMENT 'What piles and reasons of DMARC mean and what to do'
