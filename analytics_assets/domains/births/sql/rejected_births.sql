with landed as (
    select *, {birth_date} as birth_date
    from births.raw_births
),

judged as (
    select
        *,
        case
            when unreadable_line is not null then 'line cannot be split into columns'
            when DTNASC is null then 'no date of birth'
            when birth_date is null then 'date of birth cannot be read: ' || DTNASC
            when year(birth_date) <> source_year then 'date of birth outside the file''s year: ' || DTNASC
        end as reason
    from landed
),

final as (
    select source_file, source_state, source_year, source_row, reason, unreadable_line, {columns}
    from judged
    where reason is not null
)

select * from final
