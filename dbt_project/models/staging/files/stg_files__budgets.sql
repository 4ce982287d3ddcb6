{{ staged_loaded('budgets') }}
