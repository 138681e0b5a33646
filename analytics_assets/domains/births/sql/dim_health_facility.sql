with yearly as (
    select * from {facilities}
),

final as (
    select
        cnes_code,
        max(facility_name) as facility_name,
        min(year) as first_year,
        max(year) as last_year,
        cast(sum(total_births) as integer) as total_births
    from yearly
    group by cnes_code
)

select * from final
