"""Benchmarks as ratios: every figure is held against a yardstick measured in the same call, on the same bytes."""
