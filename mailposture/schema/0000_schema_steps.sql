-- What of this folder has been applied, so that each step runs once and nobody changes a step that has run.
CREATE TABLE IF NOT EXISTS {tables}.schema_steps {on_cluster}
(
    name String COMMENT 'A file of mailposture/schema',
    checksum String COMMENT 'SHA-256 of what was applied: of the file for a table, of the rendered statement for a view',
    applied_at DateTime64(3, 'UTC') COMMENT 'When'
)
ENGINE = {replacing}(applied_at)
ORDER BY name
COMMENT 'Applied schema steps'
