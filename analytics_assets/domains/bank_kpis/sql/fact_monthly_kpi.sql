-- The last version of each value; one that was taken back has none.
with versions as (
    select
        *,
        min(recorded_at) over (partition by bank_id, metric_id, month) as created_at,
        row_number() over (partition by bank_id, metric_id, month order by version desc) as age
    from bank_kpis.kpi_versions
),

final as (
    select
        {star_keys},
        value,
        created_at,
        recorded_at as updated_at
    from versions
    where age = 1 and value is not null
)

select * from final
