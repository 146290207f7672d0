-- The words of reports/dmarc/words.py, so that dashboards say the same as `mailposture explain`. Written at every start.
CREATE TABLE IF NOT EXISTS {tables}.dmarc_words {on_cluster}
(
    term LowCardinality(String) COMMENT 'A pile or a reason of dmarc_sources_daily',
    kind LowCardinality(String) COMMENT 'pile or reason',
    title String COMMENT 'In a few words',
    explanation String COMMENT 'What it means',
    action String COMMENT 'What to do',
    updated_at DateTime64(3, 'UTC') COMMENT 'When the words were written'
)
ENGINE = {replacing}(updated_at)
ORDER BY (kind, term)
COMMENT 'What piles and reasons mean and what to do'
