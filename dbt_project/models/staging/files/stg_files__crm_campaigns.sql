{{ staged_loaded('crm_campaigns') }}
