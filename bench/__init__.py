"""Speed, measured: each module is a command and says in its first line what it measures."""
