"""onefunnel: one funnel and one set of numbers for sales and marketing."""

__version__ = "0.1.0"
