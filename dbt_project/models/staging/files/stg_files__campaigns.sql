{{ staged_loaded('campaigns') }}
