"""The alert rules about what reports say, which are copies of each other, made from one table."""
