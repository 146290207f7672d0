"""The month's TLS reports. What goes wrong, and where to find it again: stories.py. How much of it is in which report:
reports.py. As JSON with each sender's habits: documents.py. As signed mails: mails.py.
"""
