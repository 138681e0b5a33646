"""How births are looked at: the page of the brief's five uses, places on maps, Portuguese words.

Belongs here: declarations for the dashboard.
Does not belong here: SQL, drawing, and what follows from the tables' own declarations.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from analytics_assets.dashboard.declared import (
    Cards,
    Chart,
    Choice,
    Chosen,
    DomainPages,
    MapOf,
    Page,
    Seats,
    Shapes,
    Tiles,
)
from analytics_assets.dashboard.words import Language, Text, humanized

_REFERENCE = Path(__file__).parent / "reference"
_MESH = (
    "https://servicodados.ibge.gov.br/api/v3/malhas/paises/BR?intrarregiao={level}"
    "&formato=application/vnd.geo%2Bjson&qualidade=minima"
)
# Column and row of each state, by its IBGE code.
_TILES = {
    "14": (2, 0, "RR"), "16": (4, 0, "AP"),
    "13": (2, 1, "AM"), "15": (3, 1, "PA"), "21": (4, 1, "MA"), "23": (5, 1, "CE"),
    "24": (6, 1, "RN"),
    "12": (1, 2, "AC"), "11": (2, 2, "RO"), "17": (3, 2, "TO"), "22": (4, 2, "PI"),
    "26": (5, 2, "PE"), "25": (6, 2, "PB"),
    "51": (2, 3, "MT"), "53": (3, 3, "DF"), "29": (4, 3, "BA"), "28": (5, 3, "SE"),
    "27": (6, 3, "AL"),
    "50": (2, 4, "MS"), "52": (3, 4, "GO"), "31": (4, 4, "MG"), "32": (5, 4, "ES"),
    "41": (2, 5, "PR"), "35": (3, 5, "SP"), "33": (4, 5, "RJ"),
    "42": (2, 6, "SC"), "43": (2, 7, "RS"),
}  # fmt: skip


def _shapes(level: str, digits: int) -> Shapes:
    return Shapes("BIRTHS_SHAPES", "BIRTHS_SHAPES_URL", _MESH.replace("{level}", level), digits)


# ---- words --------------------------------------------------------------------------------------

_FLAGS = {
    "cesarean": Text("caesarean", "cesárea"),
    "hospital_birth": Text("in a hospital", "em hospital"),
    "multiple_birth": Text("twins or more", "gêmeos ou mais"),
    "preterm": Text("preterm", "pré-termo"),
    "extreme_preterm": Text("before 32 weeks", "antes de 32 semanas"),
    "low_birth_weight": Text("low birth weight", "baixo peso ao nascer"),
    "very_low_birth_weight": Text("under 1500 g", "menos de 1500 g"),
    "extremely_low_birth_weight": Text("under 1000 g", "menos de 1000 g"),
    "high_birth_weight": Text("4000 g or more", "4000 g e mais"),
    "low_apgar1": Text("Apgar under 7, first minute", "Apgar menor que 7, 1º minuto"),
    "low_apgar5": Text("Apgar under 7, fifth minute", "Apgar menor que 7, 5º minuto"),
    "critical_apgar1": Text("Apgar to 3, first minute", "Apgar até 3, 1º minuto"),
    "critical_apgar5": Text("Apgar to 3, fifth minute", "Apgar até 3, 5º minuto"),
    "adolescent_pregnancy": Text("mother under 20", "mãe com menos de 20 anos"),
    "very_young_pregnancy": Text("mother under 15", "mãe com menos de 15 anos"),
    "geriatric_pregnancy": Text("mother of 35 or more", "mãe com 35 anos e mais"),
    "prenatal_adequate": Text("7 prenatal visits or more", "7 consultas pré-natais ou mais"),
    "first_pregnancy": Text("first pregnancy", "primeira gestação"),
    "previous_cesarean": Text("caesarean before", "cesárea anterior"),
    "previous_normal_delivery": Text("vaginal delivery before", "parto vaginal anterior"),
    "congenital_anomaly": Text("congenital anomaly", "anomalia congênita"),
    "birth_location_differs": Text("away from home", "fora do município de residência"),
}
_MEANS = {
    "birth_weight": Text("birth weight", "peso ao nascer"),
    "maternal_age": Text("age of the mother", "idade da mãe"),
    "gestational_weeks": Text("weeks of gestation", "semanas de gestação"),
    "apgar5": Text("Apgar, fifth minute", "Apgar, 5º minuto"),
}
_OF_FLAGS = {
    "rate": Text("Share {}", "Proporção {}"),
    "count": Text("Births: {}", "Nascimentos: {}"),
    "known": Text("Births, known whether {}", "Nascimentos com informação: {}"),
    "pct": Text("Share of all births {}", "Proporção de todos: {}"),
}
_OF_MEANS = {
    "mean_{}": Text("Mean {}", "Média: {}"),
    "{}_sum": Text("Sum of {}", "Soma: {}"),
    "{}_known": Text("Births with known {}", "Nascimentos com informação: {}"),
}
# As the descriptions of the measures are, which are composed alike.
_DESCRIBED_FLAGS = {
    "count": "Nascimentos: {}.",
    "known": "Nascimentos de que se sabe: {}.",
    "rate": "Proporção dos nascimentos de que se sabe: {}.",
    "pct": "Proporção de todos os nascimentos, subestimada pelos ignorados: {}.",
}
_DESCRIBED_MEANS = {
    "mean_{}": "Média onde se sabe: {}.",
    "{}_sum": "Soma: {}.",
    "{}_known": "Nascimentos de que se sabe: {}.",
}


def _descriptions() -> dict[str, str]:
    found = {"total_births": "Nascimentos."}
    for stem, said in _FLAGS.items():
        found |= {f"{stem}_{end}": text.format(said.pt) for end, text in _DESCRIBED_FLAGS.items()}
    for stem, said in _MEANS.items():
        found |= {n.format(stem): text.format(said.pt) for n, text in _DESCRIBED_MEANS.items()}
    return found


def _labels() -> dict[str, Text | str]:
    found: dict[str, Text | str] = {
        "total_births": Text("Births", "Nascimentos"),
        "cesarean_rate": Text("Caesarean rate", "Taxa de cesárea"),
        "preterm_rate": Text("Preterm rate", "Taxa de pré-termo"),
        "low_birth_weight_rate": Text("Low birth weight", "Baixo peso ao nascer"),
        "region": "Região",
        "state": "Estado",
        "municipality": "Município",
        "cnes": Text("Health facility", "Estabelecimento de saúde"),
        "occupation": "Ocupação",
        "breakdown": Text("Characteristic", "Característica"),
        "category": "Categoria",
        "year": "Ano",
        "month": "Mês",
        "week": "Semana",
        "day": "Dia",
    }
    for stem, said in _FLAGS.items():
        for end, words in _OF_FLAGS.items():
            text = Text(*(w.format(s) for w, s in zip(words, said, strict=True)))
            found.setdefault(f"{stem}_{end}", text)
    for stem, said in _MEANS.items():
        for name, words in _OF_MEANS.items():
            text = Text(*(w.format(s) for w, s in zip(words, said, strict=True)))
            found[name.format(stem)] = text
    return found


_BREAKDOWNS = {
    "maternal_age_group": Text("Age of the mother", "Idade da mãe"),
    "schooling": Text("Schooling of the mother", "Escolaridade da mãe"),
    "race": Text("Race", "Raça/cor"),
    "sex": Text("Sex", "Sexo"),
    "prenatal_visits": Text("Prenatal visits", "Consultas pré-natais"),
    "plurality": Text("Plurality", "Tipo de gravidez"),
    "gestation_class": Text("Weeks of gestation", "Semanas de gestação"),
    "birth_weight_class": Text("Birth weight", "Peso ao nascer"),
    "delivery": Text("Delivery", "Tipo de parto"),
    "robson_group": Text("Robson group", "Grupo de Robson"),
}
_UNKNOWN = Text("Unknown", "Ignorado")


@cache
def _code_lists() -> Mapping[tuple[str, str], tuple[int, Text]]:
    """List and code -> position and label."""
    with (_REFERENCE / "code_lists.csv").open(encoding="utf-8", newline="") as rows:
        return {
            (row["list"], row["code"]): (
                int(row["position"]),
                Text(row["label"], row["label_pt"]),
            )
            for row in csv.DictReader(rows)
        }


def _category(code: str, chosen: Mapping[str, str], language: Language) -> str:
    if code == "unknown":
        return _UNKNOWN.to(language)
    found = _code_lists().get((chosen.get("breakdown", ""), code))
    return found[1].to(language) if found else code


def _position(code: str, chosen: Mapping[str, str]) -> int:
    found = _code_lists().get((chosen.get("breakdown", ""), code))
    return found[0] if found else 1000


def _breakdown(name: str, chosen: Mapping[str, str], language: Language) -> str:
    found = _BREAKDOWNS.get(name)
    return found.to(language) if found else humanized(name)


# ---- the page -----------------------------------------------------------------------------------

_CARDS = ("total_births", "cesarean_rate", "preterm_rate", "low_birth_weight_rate")
_MEASURES = (
    *_CARDS,
    "adolescent_pregnancy_rate",
    "prenatal_adequate_rate",
    "cesarean_count",
    "preterm_count",
    "low_birth_weight_count",
)
_RESIDENCE = "residence"


def _aggregate(chosen: Chosen, period: str, level: str = "") -> dict[str, Any]:
    """Table and place: of the country, or of a state, by occurrence or residence.

    By residence the country is its states together: it has no table of its own.
    """
    by_residence, state = chosen["base"] == _RESIDENCE, chosen["state"]
    if by_residence:
        name = f"agg_residence_{level or 'state'}_{period}"
    else:
        name = "_".join(filter(None, ("agg", level or ("state" if state else ""), period)))
    return {"table": f"births/{name}", "state": state}


def _cards(chosen: Chosen) -> dict[str, Any]:
    yearly = _aggregate(chosen, "yearly")
    by_residence = chosen["base"] == _RESIDENCE
    daily = "" if by_residence else _aggregate(chosen, "daily")["table"]
    return {
        "year": chosen["year"],
        "yearly": yearly["table"],
        "daily": daily,
        "is": {"state": chosen["state"]},
    }


def _daily(chosen: Chosen) -> dict[str, Any] | None:
    if chosen["base"] == _RESIDENCE:
        return None
    year = {"from": f"{chosen['year']}-01-01", "to": f"{chosen['year']}-12-31"}
    return {
        **_aggregate(chosen, "daily"),
        "chart": "line",
        "measure": "total_births",
        "mean": "7",
    } | year


def _map(chosen: Chosen, level: str) -> dict[str, Any]:
    asked = _aggregate(chosen, "yearly", level) | {"state": ""}
    if level == "municipality":
        asked["state"] = chosen["state"]
    return {
        **asked,
        "chart": "map",
        "by": level,
        "at": chosen["year"],
        "measure": chosen["measure"],
    }


def _demography(chosen: Chosen, measure: str) -> dict[str, Any] | None:
    if chosen["base"] == _RESIDENCE:
        return None
    return {
        "table": "births/agg_demographic_yearly",
        "chart": "bars",
        "by": "category",
        "breakdown": chosen["breakdown"],
        "state": chosen["state"],
        "at": chosen["year"],
        "measure": measure,
    }


def _comparison(chosen: Chosen) -> dict[str, Any]:
    if chosen["base"] == _RESIDENCE or chosen["compare"] == "state":
        table = _aggregate({**chosen, "state": "all"}, "yearly")["table"]
        split = "state" if chosen["compare"] == "state" else "region"
    else:
        table, split = "births/agg_region_yearly", "region"
    own = [chosen["state"]] if chosen["state"] and split == "state" else ""
    return {
        "table": table,
        "chart": "line",
        "split": split,
        "measure": chosen["measure"],
        "index": chosen["scale"],
        "state": [*own, *(code for code in ("35", "31", "33", "29", "41") if code not in own)]
        if own
        else "",
    }


_PAGE = Page(
    "births",
    Text("Births", "Nascimentos"),
    Text(
        "Live births in Brazil (SINASC). Official statistics count them by the mother's residence;"
        " by occurrence they are counted where they took place.",
        "Nascidos vivos no Brasil (SINASC). As estatísticas oficiais contam pela residência da"
        " mãe; por ocorrência contam-se onde aconteceram.",
    ),
    controls=(
        Choice("year", Text("Year", "Ano"), of_table="births/agg_yearly", axis="year"),
        Choice(
            "base",
            Text("Counted by", "Contados por"),
            {
                "occurrence": Text("place of birth (occurrence)", "local do parto (ocorrência)"),
                _RESIDENCE: Text("the mother's residence", "residência da mãe"),
            },
        ),
        Choice(
            "state",
            Text("Place", "Lugar"),
            {"": Text("Brazil", "Brasil")},
            of_table="births/agg_state_yearly",
            axis="state",
        ),
        Choice(
            "measure",
            Text("Measure on maps and comparisons", "Medida nos mapas e comparações"),
            {name: text for name in _MEASURES if isinstance(text := _labels()[name], Text)},
        ),
        Choice("breakdown", Text("Characteristic", "Característica"), _BREAKDOWNS),
        Choice(
            "compare",
            Text("Compare", "Comparar"),
            {"region": Text("regions", "regiões"), "state": Text("states", "estados")},
        ),
        Choice(
            "scale",
            Text("Comparison in", "Comparação em"),
            {
                "": Text("values", "valores"),
                "1": Text("first year = 100", "primeiro ano = 100"),
            },
        ),
    ),
    parts=(
        Cards(Text("The year in numbers", "O ano em números"), _CARDS, _cards),
        Chart(
            Text("Births by month, this year and those before", "Nascimentos por mês e ano"),
            lambda c: {**_aggregate(c, "monthly"), "chart": "seasons", "measure": "total_births"},
            Text(
                "Seasons: a line for each year, the latest in colour.",
                "Sazonalidade: uma linha para cada ano, o último em cor.",
            ),
        ),
        Chart(Text("Births a day, mean of 7 days", "Nascimentos por dia, média de 7 dias"), _daily),
        Chart(Text("Map of the states", "Mapa dos estados"), lambda c: _map(c, "state")),
        Chart(
            Text("Map of the municipalities", "Mapa dos municípios"),
            lambda c: _map(c, "municipality"),
        ),
        Chart(
            Text("Births by characteristic", "Nascimentos por característica"),
            lambda c: _demography(c, "total_births"),
        ),
        Chart(
            Text("The measure by characteristic", "A medida por característica"),
            lambda c: None if c["measure"] == "total_births" else _demography(c, c["measure"]),
        ),
        Chart(Text("Comparison of places and years", "Comparação de lugares e anos"), _comparison),
    ),
)

PAGES = DomainPages(
    pages=(_PAGE,),
    labels=_labels(),
    descriptions=_descriptions(),
    values={"category": _category, "breakdown": _breakdown},
    order={"category": _position},
    maps={
        "state": MapOf(Tiles(_TILES), _shapes("UF", 2)),
        "municipality": MapOf(
            Seats("births/dim_municipality", "municipality_code"), _shapes("municipio", 7)
        ),
    },
)
