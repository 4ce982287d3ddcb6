"""Engines: how to open the databases that the pipeline writes and that readers read."""
