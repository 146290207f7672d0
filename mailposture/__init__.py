"""The ground that collector, exporter and policy host stand on: configuration, failures, records, storage."""
