{{ staged_rejected('crm_campaigns') }}
