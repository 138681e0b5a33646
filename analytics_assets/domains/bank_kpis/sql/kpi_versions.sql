-- Every value that a metric ever had, in the order in which it was recorded. What is there stays;
-- a value that is another now is added, and NULL for one that is no more.
with computed as (
    select bank_id, bank_code, month, {metric_columns}
    from bank_kpis.bank_months
),

legacy as (
    select
        banks.bank_id,
        banks.bank_code,
        cast(fecha as date) as month,
        {legacy_columns}
    from bank_kpis.legacy_monthly_kpis
    join (
        select cast(institution_code as integer) as bank_id, bank_code from bank_kpis.institutions
    ) as banks on banks.bank_code = legacy_monthly_kpis.banco_norm
),

together as (
    select * from computed
    union all
    select legacy.* from legacy anti join computed using (bank_id, month)
),

named as (
    select bank_id, month, unnest([{metric_structs}]) as metric from together
),

now_computed as (
    select bank_id, metric.metric_id as metric_id, month, metric.value as value
    from named where metric.value is not null
),

recorded as (
    select bank_id, metric_id, month, version, value, recorded_at, run_id
    from bank_kpis.kpi_versions
),

latest as (
    select bank_id, metric_id, month, version, value
    from recorded
    qualify row_number() over (partition by bank_id, metric_id, month order by version desc) = 1
),

changed as (
    select
        coalesce(now_computed.bank_id, latest.bank_id) as bank_id,
        coalesce(now_computed.metric_id, latest.metric_id) as metric_id,
        coalesce(now_computed.month, latest.month) as month,
        coalesce(latest.version, 0) + 1 as version,
        now_computed.value,
        getvariable('run_time') as recorded_at,
        getvariable('run_id') as run_id
    from now_computed
    full join latest
        on latest.bank_id = now_computed.bank_id
        and latest.metric_id = now_computed.metric_id
        and latest.month = now_computed.month
    where now_computed.value is distinct from latest.value
),

final as (
    select * from recorded
    union all
    select * from changed
)

select * from final
