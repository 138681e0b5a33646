"""Words and numbers of the pages, in English and Portuguese.

Belongs here: what the dashboard itself says, and how numbers and periods are written.
Does not belong here: words of a domain (its ``pages.py``).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any, Literal, NamedTuple

Language = Literal["en", "pt"]
LANGUAGES: tuple[Language, ...] = ("en", "pt")
_MONTHS = {
    "en": ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
    "pt": ["jan", "fev", "mar", "abr", "mai", "jun", "jul", "ago", "set", "out", "nov", "dez"],
}
# In the place of a value that is not there, and between two ends.
NOTHING = TO = "\N{EN DASH}"
# A unit that is written as a sign after the number.
_SIGNS = {"percent": "%"}
_UNITS_PT = {
    "births": "nascimentos",
    "grams": "gramas",
    "years": "anos",
    "weeks": "semanas",
    "score": "pontos",
    "points": "pontos",
    "percentage points": "pontos percentuais",
    "appointments": "consultas",
    "events": "eventos",
    "users": "usuários",
    "patients": "pacientes",
    "impressions": "impressões",
    "clicks": "cliques",
    "trials": "testes",
    "purchases": "compras",
    "million MXN": "milhões de MXN",
    "days": "dias",
    "rows": "linhas",
    "year": "ano",
}


class Text(NamedTuple):
    """One text in both languages."""

    en: str
    pt: str

    def to(self, language: Language) -> str:
        """It in this language."""
        return self.pt if language == "pt" else self.en


WORDS: dict[str, Text] = {
    "dashboard": Text("Dashboard", "Painel"),
    "skip": Text("Skip to the content", "Ir para o conteúdo"),
    "pages": Text("Pages", "Páginas"),
    "tables": Text("All tables", "Todas as tabelas"),
    "other_language": Text("Português", "English"),
    "show": Text("Show", "Mostrar"),
    "measure": Text("Measure", "Medida"),
    "chart": Text("Chart", "Gráfico"),
    "by": Text("By", "Por"),
    "split": Text("A line for each", "Uma linha para cada"),
    "none": Text("nothing", "nada"),
    "from": Text("From", "De"),
    "to": Text("To", "Até"),
    "at": Text("Period", "Período"),
    "all": Text("All together", "Todos juntos"),
    "all_periods": Text("All periods together", "Todos os períodos juntos"),
    "time": Text("Time", "Tempo"),
    "line": Text("Line over time", "Linha no tempo"),
    "bars": Text("Bars", "Barras"),
    "map": Text("Map", "Mapa"),
    "seasons": Text("Months over years", "Meses ao longo dos anos"),
    "rows": Text("Rows", "Linhas"),
    "value": Text("Value", "Valor"),
    "mean": Text("Mean of 7 days", "Média de 7 dias"),
    "daily": Text("Each day", "Cada dia"),
    "index": Text("First value = 100", "Primeiro valor = 100"),
    "scale": Text("Scale", "Escala"),
    "absolute": Text("Values", "Valores"),
    "csv": Text("Download CSV", "Baixar CSV"),
    "png": Text("Download PNG", "Baixar PNG"),
    "link": Text("Link to this view", "Link desta visão"),
    "numbers": Text("The numbers", "Os números"),
    "withheld": Text("withheld", "omitido"),
    "withheld_why": Text(
        "Counts that are small, and what would give them away, are withheld. They are not 0.",
        "Contagens pequenas, e o que as revelaria, são omitidas. Não são 0.",
    ),
    "no_value": Text("no value", "sem valor"),
    "number_rows": Text("Number of rows", "Número de linhas"),
    "as_of": Text("As of", "Situação em"),
    "promoted": Text("Promoted", "Publicado"),
    "version": Text("version", "versão"),
    "never": Text("never", "nunca"),
    "fresh": Text("fresh", "atual"),
    "behind": Text("behind its input", "atrasado em relação à origem"),
    "stale": Text("stale", "desatualizado"),
    "unaudited": Text("fails a newer rule", "não cumpre uma regra nova"),
    "altered": Text("altered beside the releases", "alterado fora das publicações"),
    "missing": Text("not promoted", "não publicado"),
    "unknown": Text("nobody has looked lately", "não verificado recentemente"),
    "empty": Text("There is nothing to show.", "Não há nada para mostrar."),
    "not_promoted": Text(
        "Nothing of this table is promoted yet. It appears here after the next release.",
        "Nada desta tabela foi publicado ainda. Aparece aqui após a próxima publicação.",
    ),
    "empty_range": Text(
        "No row matches: the table has {first} to {last}.",
        "Nenhuma linha corresponde: a tabela vai de {first} a {last}.",
    ),
    "empty_place": Text(
        "No row matches this choice. Where nothing was counted, a table has no row.",
        "Nenhuma linha corresponde a esta escolha. Onde nada foi contado, não há linha.",
    ),
    "zero": Text(
        "The axis does not begin at 0, so that changes can be seen.",
        "O eixo não começa em 0, para que as mudanças sejam visíveis.",
    ),
    "only_first": Text(
        "Shown are the {shown} greatest of {total}; the CSV has all.",
        "São mostrados os {shown} maiores de {total}; o CSV tem todos.",
    ),
    "first_rows": Text(
        "The first {shown} of {total}; the CSV has all.",
        "As primeiras {shown} de {total}; o CSV tem todas.",
    ),
    "change": Text("to the year before", "em relação ao ano anterior"),
    "points": Text("points", "pontos"),
    "same_days": Text(
        "{first} to {last}; compared with the same days of the year before.",
        "{first} a {last}; comparado com os mesmos dias do ano anterior.",
    ),
    "whole_year": Text(
        "The whole year {year}, compared with {before}.",
        "O ano inteiro de {year}, comparado com {before}.",
    ),
    "unfinished": Text(
        "The year is not complete, so it is not compared.",
        "O ano não está completo, por isso não é comparado.",
    ),
    "no_before": Text("no year before", "sem ano anterior"),
    "more": Text("All choices", "Todas as opções"),
    "down": Text(
        "Production does not answer. The page comes back by itself when it does.",
        "O banco de produção não responde. A página volta sozinha quando ele responder.",
    ),
    "previous": Text("Earlier rows", "Linhas anteriores"),
    "next": Text("Further rows", "Próximas linhas"),
    "search": Text("Type a name or code", "Digite um nome ou código"),
    "no_script": Text(
        "Without JavaScript the charts are not drawn; their numbers are in the tables below.",
        "Sem JavaScript os gráficos não aparecem; os números estão nas tabelas abaixo.",
    ),
    "places_apart": Text(
        "Not on the map: {places}.",
        "Fora do mapa: {places}.",
    ),
    "seats": Text(
        "Each circle is at the seat; its colour is the value.",
        "Cada círculo está na sede; a cor é o valor.",
    ),
    "tiles": Text("A tile for each place, as they lie.", "Um quadro para cada lugar."),
    "needs_one": Text(
        "Withheld or unlike numbers are never added up: one value of each is chosen.",
        "Números omitidos ou diferentes nunca são somados: escolhe-se um valor de cada.",
    ),
    "open_table": Text("Open this chart with all choices", "Abrir com todas as opções"),
    "home": Text("What is promoted", "O que está publicado"),
    "description": Text("Description", "Descrição"),
    "table": Text("Table", "Tabela"),
    "state": Text("State", "Situação"),
    "rows_count": Text("Rows", "Linhas"),
}


def word(name: str, language: Language, **values: object) -> str:
    """One of the dashboard's words."""
    return WORDS[name].to(language).format(**values)


def humanized(name: str) -> str:
    """``mean_birth_weight`` -> ``Mean birth weight``."""
    text = name.replace("_", " ").strip()
    return text[:1].upper() + text[1:]


def unit_text(unit: str, language: Language) -> str:
    """A unit in words or as a sign."""
    if unit in _SIGNS:
        return _SIGNS[unit]
    return _UNITS_PT.get(unit, unit) if language == "pt" else unit


def number(value: float | int | None, language: Language, digits: int | None = None) -> str:
    """With thousands; whole numbers without decimals, others with ``digits``, by default as many
    as tell it apart."""
    if value is None:
        return ""
    chosen_by_size = digits is None
    if digits is None:
        whole = float(value).is_integer()
        digits = 0 if whole or abs(value) >= 1000 else 1 if abs(value) >= 100 else 2
    text = f"{value:,.{digits}f}"
    if chosen_by_size and value and not float(text.replace(",", "")):
        text = f"{value:.2g}"
    return text.translate(str.maketrans(",.", ".,")) if language == "pt" else text


def common_digits(values: Iterable[float | None]) -> int:
    """Decimals with which all of these are written alike."""
    known = [value for value in values if value is not None]
    if all(float(value).is_integer() for value in known):
        return 0
    most = max(map(abs, known))
    return 0 if most >= 1000 else 1 if most >= 10 else 2


def with_unit(
    value: float | int | None, unit: str, language: Language, digits: int | None = None
) -> str:
    """A number and its unit."""
    text = number(value, language, digits)
    if not text or not unit:
        return text
    joined = "" if unit in _SIGNS else "\N{NO-BREAK SPACE}"
    return f"{text}{joined}{unit_text(unit, language)}"


def labelled(label: str, unit: str, language: Language) -> str:
    """A label with its unit, unless the one says the other."""
    text = unit_text(unit, language)
    return label if not text or text.lower() == label.lower() else f"{label} ({text})"


def moment(value: datetime | None, language: Language) -> str:
    """A moment in UTC, or that there is none."""
    return f"{value:%Y-%m-%d %H:%M} UTC" if value else word("never", language)


def period_text(day: date, axis: str, language: Language) -> str:
    """The period of an axis that begins on a day: 2024, Mar 2024, 2024-03-01."""
    if axis == "year":
        return str(day.year)
    if axis == "quarter":
        return f"{day.year} Q{(day.month + 2) // 3}"
    if axis == "month":
        return f"{_MONTHS[language][day.month - 1]} {day.year}"
    return day.isoformat()


def month_name(month: int, language: Language) -> str:
    """1 -> Jan."""
    return _MONTHS[language][month - 1]


def plain(value: Any, language: Language) -> str:
    """A value of a row of any type as people read it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return {"en": ("no", "yes"), "pt": ("não", "sim")}[language][value]
    if isinstance(value, float):
        return number(value, language)
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value)
