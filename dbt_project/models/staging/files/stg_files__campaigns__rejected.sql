{{ staged_rejected('campaigns') }}
