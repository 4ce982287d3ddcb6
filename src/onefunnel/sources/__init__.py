"""Sources: where data comes from. Each knows only `base`, `http` and `errors`."""
