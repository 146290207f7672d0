-- When a certificate must be renewed, as the configuration says: what the alert compares with, dashboards can colour by.
ALTER TABLE {database}.configured_domains {on_cluster}
    ADD COLUMN IF NOT EXISTS certificate_expiry_seconds UInt64
    COMMENT 'Certificates that end within this time must be renewed' AFTER stale_after_seconds
