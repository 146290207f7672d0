"""The weekly digest by mail. The exporter sends it: it is one process, and reads the database."""
