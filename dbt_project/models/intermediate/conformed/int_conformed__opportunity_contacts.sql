{{ conformed_records('opportunity_contacts') }}
