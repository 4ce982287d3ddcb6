{{ staged_rejected('budgets') }}
