"""`python -m cli` is the `mailposture` command: how it starts its own processes."""

from cli.main import main

main(prog_name="mailposture")
