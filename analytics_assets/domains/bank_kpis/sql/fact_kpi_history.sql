-- Every change of a value after it was first recorded.
with versions as (
    select
        *,
        lag(value) over (partition by bank_id, metric_id, month order by version) as old_value
    from bank_kpis.kpi_versions
),

final as (
    select
        {star_keys},
        version,
        old_value,
        value as new_value,
        recorded_at as changed_at,
        run_id
    from versions
    where version > 1
)

select * from final
