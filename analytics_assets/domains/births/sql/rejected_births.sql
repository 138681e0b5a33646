with judged as (
    select *, {reason} as reason
    from births.raw_births
),

final as (
    select source_file, source_state, source_year, source_row, reason, unreadable_line, {columns}
    from judged
    where reason is not null
)

select * from final
