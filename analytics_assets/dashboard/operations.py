"""The page of an operator's morning, of all domains, from what production knows of itself.

Belongs here: last releases, what is behind, failing or on hold, freshness and size.
Does not belong here: what only Dagster or the warehouse know: runs, and the rows that hold a
partition back. The page says where these are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from analytics_assets.api.errors import Problem
from analytics_assets.api.meta import TableHealth, read_health
from analytics_assets.dashboard.declared import Asked, Cell, Found, Own, Page
from analytics_assets.dashboard.words import Text, moment, number, word
from analytics_assets.production.records import SCHEMA

_NIGHT = timedelta(hours=24)
_RELEASES = f"""
select r.id, r.domain, r.kind, r.partitions, r.why, r.made_at, r.by_user,
    (select count(distinct table_name) from {SCHEMA}.ledger where release_id = r.id) as tables
from {SCHEMA}.release as r where r.made_at >= %(since)s or r.id = (
    select max(id) from {SCHEMA}.release as last where last.domain = r.domain
) order by r.id desc limit 50"""
_HOLDS = f"""
select table_name, count(*) as partitions, min(since) as since, min(why) as why
from {SCHEMA}.hold where not confirmed group by table_name, why order by 3, 1 limit 50"""
_FAILING = f"""
select asset, check_name, holds_back, partitions, what, keys, made_at from {SCHEMA}.failing
order by holds_back desc, asset, check_name limit 100"""
_UNAUDITED = f"""
select table_name, unaudited, since, partitions from {SCHEMA}.behind
where since is not null or unaudited is not null order by since nulls last, 1"""
_SIZES = """
select regexp_replace(n.nspname, '_store$', '') as domain, count(*) as tables,
    sum(pg_total_relation_size(c.oid))::bigint as bytes
from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
where c.relkind = 'r' and n.nspname like '%%\\_store' group by 1 order by 3 desc"""
_T = {
    "domain": Text("Domain", "Domínio"),
    "release": Text("Release", "Publicação"),
    "when": Text("When", "Quando"),
    "what": Text("What", "O quê"),
    "tables": Text("Tables", "Tabelas"),
    "partitions": Text("Partitions", "Partições"),
    "by": Text("By", "Por"),
    "table": Text("Table", "Tabela"),
    "why": Text("Why", "Por quê"),
    "since": Text("Since", "Desde"),
    "state": Text("State", "Situação"),
    "fresh": Text("Fresh", "Atuais"),
    "not_fresh": Text("Others", "Outras"),
    "rows": Text("Rows", "Linhas"),
    "last": Text("Last promoted", "Última publicação"),
    "size": Text("Size, MB", "Tamanho, MB"),
    "none_behind": Text("Nothing is behind.", "Nada está atrasado."),
    "none_held": Text("Nothing is on hold.", "Nada está retido."),
    "none": Text("Nothing was promoted yet.", "Nada foi publicado ainda."),
    "no_right": Text(
        "The reader may not see this in this production yet: the next release gives the right.",
        "O leitor ainda não pode ver isto: a próxima publicação dá o direito.",
    ),
    "looked": Text("Last looked: {when}.", "Última verificação: {when}."),
    "check": Text("Check", "Verificação"),
    "found": Text("What it found", "O que encontrou"),
    "keys": Text("Keys of some rows", "Chaves de algumas linhas"),
    "made": Text("Made", "Feita"),
    "holds_back": Text("holds back", "retém"),
    "warns": Text("warns", "avisa"),
    "none_failing": Text("No check fails.", "Nenhuma verificação falha."),
    "elsewhere": Text(
        "Each check as it was last made. The rows are in the warehouse, which pages never read: on"
        " the machine, `make duckdb SQL=\"select * from quarantine.<domain>_<table>\"`, or the"
        " checks of the asset in Dagster.",
        "Cada verificação como foi feita por último. As linhas estão no armazém, que as páginas"
        " nunca leem: na máquina, `make duckdb SQL=\"select * from quarantine.<domain>_<table>\"`,"
        " ou no Dagster.",
    ),
}  # fmt: skip


def _heads(asked: Asked, *names: str) -> tuple[str, ...]:
    return tuple(_T[name].to(asked.language) for name in names)


def _link(asked: Asked, key: str) -> Cell:
    table = asked.tables.get(key)
    if table is None:
        return Cell(key)
    name = f"{table.domain}.{table.published_name}"
    return Cell(name, link=asked.link(f"tables/{name}"))


async def _releases(asked: Asked) -> Found:
    """What became visible in the last 24 hours, and the last release of each domain."""
    since = datetime.now(timezone.utc) - _NIGHT
    found = await asked.database.read(_RELEASES, {"since": since})
    rows = tuple(
        (
            Cell(f"{row.domain} {row.id}"),
            Cell(moment(row.made_at, asked.language)),
            Cell(row.kind.replace("_", " ") + (f": {row.why}" if row.why else ""), words=True),
            Cell(number(row.tables, asked.language)),
            Cell(number(row.partitions, asked.language)),
            Cell(row.by_user or ""),
        )
        for row in found
    )
    columns = _heads(asked, "release", "when", "what", "tables", "partitions", "by")
    return Found(columns=columns, rows=rows, empty="" if rows else _T["none"].to(asked.language))


async def _behind(asked: Asked) -> Found:
    """Tables that are not what their input would give now, and rules that rows fail."""
    health = await _health(asked)
    known = {f"{t.domain}.{t.published_name}": key for key, t in asked.tables.items()}
    unaudited = {row.table_name: row.unaudited for row in await asked.database.read(_UNAUDITED)}
    late = [one for one in health.values() if one.state not in ("fresh", "unknown")]
    rows = tuple(
        (
            _link(asked, known[one.name]),
            Cell(word(one.state, asked.language)),
            Cell(unaudited.get(known[one.name]) or "", words=True),
            Cell(number(one.partitions_behind, asked.language)),
            Cell(moment(one.behind_since, asked.language) if one.behind_since else ""),
        )
        for one in late
    )
    looked = await asked.database.read(f"select max(looked_at) as at from {SCHEMA}.behind")
    about = _T["looked"].to(asked.language).format(when=moment(looked[0].at, asked.language))
    empty = "" if rows else _T["none_behind"].to(asked.language)
    columns = _heads(asked, "table", "state", "why", "partitions", "since")
    return Found((about,), columns, rows, empty=empty)


async def _failing(asked: Asked) -> Found:
    """Checks that failed when they were last made, and keys of rows that break them."""
    found = await _permitted(asked, _FAILING)
    if found is None:
        return Found(empty=_T["no_right"].to(asked.language))
    rows = tuple(
        (
            _link(asked, row.asset.removeprefix("production/")),
            Cell(row.check_name),
            Cell(_T["holds_back" if row.holds_back else "warns"].to(asked.language)),
            Cell(row.what, words=True),
            Cell(number(row.partitions, asked.language) if row.partitions else ""),
            Cell("\n".join(row.keys), words=True),
            Cell(moment(row.made_at, asked.language)),
        )
        for row in found
    )
    empty = "" if rows else _T["none_failing"].to(asked.language)
    columns = _heads(asked, "table", "check", "state", "found", "partitions", "keys", "made")
    return Found((_T["elsewhere"].to(asked.language),), columns, rows, empty=empty)


async def _permitted(asked: Asked, sql: str) -> Sequence[Any] | None:
    """Rows; ``None`` where an earlier release made production, and readers have no right yet."""
    try:
        return await asked.database.read(sql)
    except Problem as problem:
        if problem.code != "not_promoted":
            raise
        return None


async def _holds(asked: Asked) -> Found:
    """Versions that wait until somebody confirms them."""
    found = await _permitted(asked, _HOLDS)
    if found is None:
        return Found(empty=_T["no_right"].to(asked.language))
    rows = tuple(
        (
            _link(asked, row.table_name),
            Cell(row.why, words=True),
            Cell(number(row.partitions, asked.language)),
            Cell(moment(row.since, asked.language)),
        )
        for row in found
    )
    empty = "" if rows else _T["none_held"].to(asked.language)
    return Found(
        columns=_heads(asked, "table", "why", "partitions", "since"), rows=rows, empty=empty
    )


async def _domains(asked: Asked) -> Found:
    """Freshness and size of each domain."""
    health = await _health(asked)
    sizes = {row.domain: row for row in await asked.database.read(_SIZES)}
    own: dict[str, list[TableHealth]] = {}
    for table in asked.tables.values():
        own.setdefault(table.domain, []).append(health[f"{table.domain}.{table.published_name}"])
    rows = []
    for domain, tables in sorted(own.items()):
        fresh = sum(one.state == "fresh" for one in tables)
        last = max((one.last_promoted for one in tables if one.last_promoted), default=None)
        size = sizes[domain].bytes / 2**20 if domain in sizes else 0
        rows.append(
            (
                Cell(domain),
                Cell(number(len(tables), asked.language)),
                Cell(number(fresh, asked.language)),
                Cell(number(len(tables) - fresh, asked.language)),
                Cell(number(sum(one.rows for one in tables), asked.language)),
                Cell(moment(last, asked.language)),
                Cell(number(size, asked.language, 1)),
            )
        )
    columns = _heads(asked, "domain", "tables", "fresh", "not_fresh", "rows", "last", "size")
    return Found(columns=columns, rows=tuple(rows))


async def _health(asked: Asked) -> Mapping[str, Any]:
    found = await read_health(asked.database, list(asked.tables.values()))
    return {one.name: one for one in found.tables}


PAGE = Page(
    "operations",
    Text("Operations", "Operação"),
    Text(
        "What last night changed, what is behind and why, which checks fail, and how large"
        " production is.",
        "O que mudou esta noite, o que está atrasado e por quê, quais verificações falham, e o"
        " tamanho da produção.",
    ),
    parts=(
        Own(Text("Behind, and why", "Atrasado, e por quê"), _behind, wide=True),
        Own(Text("Failing checks", "Verificações que falham"), _failing, wide=True),
        Own(Text("On hold until confirmed", "Retido até confirmação"), _holds, wide=True),
        Own(
            Text("Changed in the last 24 hours", "Mudou nas últimas 24 horas"),
            _releases,
            wide=True,
        ),
        Own(Text("Freshness and size", "Atualidade e tamanho"), _domains, wide=True),
    ),
)
