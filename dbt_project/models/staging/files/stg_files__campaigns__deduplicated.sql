{{ staged_deduplicated('campaigns') }}
