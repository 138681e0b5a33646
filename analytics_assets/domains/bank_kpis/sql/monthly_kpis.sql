-- The wide table: a column a metric. What an older table has for months that the workbooks lack
-- is kept as it was.
with computed as (
    select
        month as fecha,
        bank_code as banco_norm,
        {metric_columns}
    from bank_kpis.bank_months
),

legacy as (
    select
        cast(fecha as date) as fecha,
        banco_norm,
        {legacy_columns}
    from bank_kpis.legacy_monthly_kpis
),

together as (
    select * from computed
    union all
    select legacy.* from legacy anti join computed using (fecha, banco_norm)
),

final as (
    select * from together where coalesce({metric_codes}) is not null
)

select * from final
