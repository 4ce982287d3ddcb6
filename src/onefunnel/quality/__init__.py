"""Quality gates: expectations in YAML, judged by Great Expectations inside DuckDB, by a gate that distrusts itself."""
