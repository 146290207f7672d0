"""DMARC aggregate reports (RFC 7489, RFC 9990): is mail from us authenticated, and if not, who sends it?"""
