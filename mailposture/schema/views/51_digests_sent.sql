-- Which weekly digest was handed to the mail server for whom.
CREATE OR REPLACE VIEW {views}.digests_sent {on_cluster}
(
    first_day Date COMMENT 'First of the seven report days that it is about (UTC)',
    scope String COMMENT 'Which domains it is about: a team, or empty for all',
    recipient String COMMENT 'Mail address',
    message_id String COMMENT 'Message-ID of the mail',
    sent_at DateTime64(3, 'UTC') COMMENT 'When the mail server accepted it'
)
SQL SECURITY DEFINER
AS
SELECT first_day, scope, recipient, message_id, sent_at
FROM {tables}.digests_sent FINAL
COMMENT 'Weekly digests that were mailed'
