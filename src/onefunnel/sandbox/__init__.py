"""A deterministic synthetic company: it knows the truth first and writes files in its vendors' dialects afterwards.

Nothing here imports sources, landing, models or their tools, so that what it expects is an independent witness.
"""

# Tokens of people need a key. Those of the sandbox do not exist, so theirs is no secret.
PUBLIC_TOKEN_KEY = "the people of the sandbox company do not exist"  # noqa: S105
