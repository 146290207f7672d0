"""Grafana dashboards: build/ writes the JSON files that are committed here."""
