"""Writes the dashboards: `python -m dashboards.builders`.

One file per dashboard, each with a `dashboard()` that returns it. What they share: grafana.py knows Grafana's JSON,
panels.py the kinds of panels, shared_panels.py the panels that are on several dashboards, look.py what things look like
everywhere (colours, units, words), variables.py the choices on top and the links that keep them, questions.py the SQL
that several of them ask.

Two rules hold everywhere. Time is the report day in UTC, never the arrival (but on the collector's own dashboard). And
untrusted text (organizations, host names, result types) never gets into a query: it is passed on as a hash.
"""
