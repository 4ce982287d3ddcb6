{{ conformed_records('budgets') }}
