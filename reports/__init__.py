"""What is known about reports: one folder per kind."""
