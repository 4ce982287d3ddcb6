{{ conformed_records('fx_rates') }}
