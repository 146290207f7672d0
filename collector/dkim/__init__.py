"""DKIM (RFC 6376) as RFC 8460 wants it for mailed TLS reports: who signed this mail, and does the signature hold?

Read from the bottom: canonical.py (bytes → what is hashed), signature.py (a DKIM-Signature field and its checks),
keys.py (public keys from DNS, cached), verifier.py (batches of mails → results). A parser of our own, because every
mail passes here: dkimpy canonicalizes whole mails in pure Python and implements RSA itself, which costs ten times as
much (bench/signatures.py); the tests hold it equal to dkimpy on generated mails, apart from where it is stricter.
"""
