"""Preference-optimisation training for RPO.

The package turns files on local disk into other files on local disk: pairs in,
reference log-probabilities, adapters and merged weights out. Ranks never talk to
S3 or Temporal; the Go supervisor moves the bytes and reads the event lines.

What may not enter: network clients, workflow knowledge, anything that judges or
builds pairs.
"""

__version__ = "0.1.0"
