-- What the CRM says is shown as it is; shares are computed by weight, so that a wrong sum warns and loses no money.
{{ config(severity='warn') }}

select opportunity_key, sum(split_percent) as split_percent
from {{ ref('int_deals__splits') }}
where split_type = 'revenue'
    and opportunity_key <> '-1'
group by opportunity_key
having sum(split_percent) <> 100
