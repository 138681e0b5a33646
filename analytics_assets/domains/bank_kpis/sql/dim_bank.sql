with reported as (
    select institution_code, bank_code, level, max(month) as last_month
    from bank_kpis.bank_months
    where cartera_total is not null
    group by all
),

seen as (
    select distinct institution_code, bank_code, level from bank_kpis.bank_months
),

named as (
    select institution_code, bank_code, bank_name, level from bank_kpis.institutions
    union all
    select institution_code, bank_code, 'Institution ' || institution_code, level
    from seen anti join bank_kpis.institutions using (institution_code)
),

final as (
    select
        cast(named.institution_code as integer) as bank_id,
        named.bank_code,
        named.bank_name,
        case named.level when 'bank' then 'individual' else 'aggregate' end as bank_type,
        named.level,
        named.institution_code,
        coalesce(reported.last_month = (select max(last_month) from reported), false) as is_active
    from named
    left join reported using (institution_code)
)

select * from final
