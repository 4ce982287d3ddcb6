{{ conformed_records('crm_campaigns') }}
