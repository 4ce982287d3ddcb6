{{ staged_covers('campaigns') }}
