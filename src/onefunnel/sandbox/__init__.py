"""A deterministic synthetic company: it knows the truth first and writes files in its vendors' dialects afterwards.

Nothing here imports sources, landing, models or their tools, so that what it expects is an independent witness.
"""
