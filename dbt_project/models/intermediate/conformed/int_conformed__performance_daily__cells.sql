{{ cell_versions('performance_daily') }}
