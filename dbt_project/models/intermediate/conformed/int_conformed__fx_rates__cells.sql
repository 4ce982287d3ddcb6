{{ cell_versions('fx_rates') }}
