"""The alert rules about our domains, which are copies of each other, made from one table."""
