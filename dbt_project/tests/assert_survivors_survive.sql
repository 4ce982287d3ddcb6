-- No fact points to a merged account, and a survivor is merged into nobody.
select accounts.account_key, accounts.survivor_account_key
from {{ ref('dim_account') }} as accounts
inner join {{ ref('dim_account') }} as survivors on accounts.survivor_account_key = survivors.account_key
where survivors.is_merged
    or survivors.survivor_account_key <> survivors.account_key
    or accounts.is_merged <> (accounts.account_key <> accounts.survivor_account_key)
union all
select facts.account_key, accounts.survivor_account_key
from {{ ref('fct_opportunity') }} as facts
inner join {{ ref('dim_account') }} as accounts on facts.account_key = accounts.account_key
where accounts.is_merged
union all
select facts.account_key, accounts.survivor_account_key
from {{ ref('fct_revenue') }} as facts
inner join {{ ref('dim_account') }} as accounts on facts.account_key = accounts.account_key
where accounts.is_merged
