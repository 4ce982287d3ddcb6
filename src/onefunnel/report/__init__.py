"""The review page: one static file that sales and marketing read together."""
