-- One row an institution and month: amounts and ratios of all workbooks, typed.
-- A row of nothing but zeros says that the institution does not report, not that it owes nothing.
with portfolio as (
    select
        institution_code,
        cast(month as date) as month,
        unreadable_cells,
        {portfolio_typed}
    from bank_kpis.cnbv_portfolio
    qualify {first_row}
),

capital as (
    select
        institution_code,
        cast(month as date) as month,
        unreadable_cells,
        nullif({icap}, 0) as icap,
        nullif({ccb}, 0) as ccb,
        nullif({ccf}, 0) as ccf,
        unit
    from bank_kpis.cnbv_icap
    qualify {first_row}
),

adjusted as (
    select
        institution_code,
        cast(month as date) as month,
        unreadable_cells,
        nullif({tda}, 0) as tda,
        unit
    from bank_kpis.cnbv_tda
    qualify {first_row}
),

write_offs as (
    select
        institution_code,
        cast(month as date) as month,
        unreadable_cells,
        {write_offs_typed}
    from bank_kpis.cnbv_write_offs
    qualify {first_row}
),

reporting as (
    select * from portfolio where greatest({portfolio_sizes}) > 0
),

months as (
    select institution_code, month from reporting
    union
    select institution_code, month from capital where coalesce(icap, ccb, ccf) is not null
    union
    select institution_code, month from adjusted where tda is not null
    union
    select institution_code, month from write_offs
),

joined as (
    select
        months.institution_code,
        months.month,
        {portfolio_columns},
        {icap_ratio} as icap,
        {ccb_ratio} as ccb,
        {ccf_ratio} as ccf,
        cast(case when adjusted.unit = 'ratio' then tda else tda / 100 end as decimal(18, 6)) as tda,
        {write_offs_columns},
        nullif(concat_ws('; ', reporting.unreadable_cells, capital.unreadable_cells,
            adjusted.unreadable_cells, write_offs.unreadable_cells), '') as unreadable_cells
    from months
    left join reporting using (institution_code, month)
    left join capital using (institution_code, month)
    left join adjusted using (institution_code, month)
    left join write_offs using (institution_code, month)
),

totals as (
    select *, {segment_totals} from joined
),

named as (
    select
        totals.*,
        cast(totals.institution_code as integer) as bank_id,
        coalesce(institutions.bank_code, totals.institution_code) as bank_code,
        coalesce(institutions.level, {unlisted_level}) as level
    from totals
    left join bank_kpis.institutions as institutions using (institution_code)
),

final as (
    select
        *,
        -- What is consolidated with its subsidiaries is a part of the consolidated system.
        case when level = 'consolidated' or contains(bank_code, 'CONSOLIDADO')
            then max(case when institution_code = '21' then cartera_total end)
                over (partition by month)
            else max(case when institution_code = '5' then cartera_total end)
                over (partition by month)
        end as sistema_cartera_total
    from named
)

select * from final
