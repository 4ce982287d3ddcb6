select spend_key, known_to, is_current from {{ ref('fct_ad_spend') }}
where is_current <> (known_to = {{ end_of_time() }})
