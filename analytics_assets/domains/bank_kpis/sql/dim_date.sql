with spanned as (
    select min(month) as first_month, max(month) as last_month from bank_kpis.kpi_versions
),

months as (
    select
        last_month,
        cast(unnest(generate_series(first_month, last_month, interval 1 month)) as date) as full_date
    from spanned
),

final as (
    select
        year(full_date) * 100 + month(full_date) as date_id,
        full_date,
        year(full_date) as year,
        quarter(full_date) as quarter,
        month(full_date) as month,
        monthname(full_date) as month_name,
        'Q' || quarter(full_date) || ' ' || year(full_date) as quarter_name,
        full_date = last_month as is_current
    from months
)

select * from final
