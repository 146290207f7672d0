"""What senders would see: live DNS, the policy host, and the MX servers, looked at from outside.

One function a thing, each with a frozen result; `mailposture check` prints them and the exporter's probes measure them.
Everything that differs between the world and a test (resolver, authority, ports) is in a `Vantage`.
"""
