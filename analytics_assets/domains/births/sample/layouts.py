"""The two real file layouts that the sample is written in.

Belongs here: columns, widths and writing of the OpenDataSUS CSV and the older DBF.
Does not belong here: what the records say (``records.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from analytics_assets.domains.births.sample.draw import Columns

OLD_LAYOUT = {
    "contador": 8, "LOCNASC": 1, "CODESTAB": 7, "CODBAINASC": 8, "CODMUNNASC": 7, "IDADEMAE": 2,
    "ESTCIVMAE": 1, "ESCMAE": 1, "CODOCUPMAE": 6, "QTDFILVIVO": 2, "QTDFILMORT": 2,
    "CODBAIRES": 8, "CODMUNRES": 7, "GESTACAO": 1, "GRAVIDEZ": 1, "PARTO": 1, "CONSULTAS": 1,
    "DTNASC": 8, "HORANASC": 4, "SEXO": 1, "APGAR1": 2, "APGAR5": 2, "RACACOR": 1, "PESO": 4,
    "IDANOMAL": 1, "CODANOMAL": 20, "DTCADASTRO": 8, "DTRECEBIM": 8, "UFINFORM": 2,
}  # fmt: skip
"""Columns of the 2007-2008 DBF files in file order, with their widths in characters."""

NEW_LAYOUT = [
    "ORIGEM", "CODESTAB", "CODMUNNASC", "LOCNASC", "IDADEMAE", "ESTCIVMAE", "ESCMAE", "CODOCUPMAE",
    "QTDFILVIVO", "QTDFILMORT", "CODMUNRES", "GESTACAO", "GRAVIDEZ", "PARTO", "CONSULTAS", "DTNASC",
    "HORANASC", "SEXO", "APGAR1", "APGAR5", "RACACOR", "PESO", "IDANOMAL", "DTCADASTRO",
    "CODANOMAL", "NUMEROLOTE", "VERSAOSIST", "DTRECEBIM", "DIFDATA", "DTRECORIGA", "NATURALMAE",
    "CODMUNNATU", "CODUFNATU", "ESCMAE2010", "SERIESCMAE", "DTNASCMAE", "RACACORMAE", "QTDGESTANT",
    "QTDPARTNOR", "QTDPARTCES", "IDADEPAI", "DTULTMENST", "SEMAGESTAC", "TPMETESTIM", "CONSPRENAT",
    "MESPRENAT", "TPAPRESENT", "STTRABPART", "STCESPARTO", "TPNASCASSI", "TPFUNCRESP", "TPDOCRESP",
    "DTDECLARAC", "ESCMAEAGR1", "STDNEPIDEM", "STDNNOVA", "CODPAISRES", "TPROBSON", "PARIDADE",
    "KOTELCHUCK", "CONTADOR",
]  # fmt: skip
"""Columns of the OpenDataSUS CSV files in file order."""


def write_csv(path: Path, chunks: Iterator[Columns]) -> None:
    schema = pa.schema([(name, pa.string()) for name in NEW_LAYOUT])
    options = pa_csv.WriteOptions(
        include_header=False, delimiter=";", quoting_style="all_valid", batch_size=4096
    )
    with path.open("wb") as file:
        file.write((";".join(f'"{name}"' for name in NEW_LAYOUT) + "\n").encode("ascii"))
        with pa_csv.CSVWriter(file, schema, write_options=options) as writer:
            for columns in chunks:
                columns["CODMUNNASC"] = pc.utf8_slice_codeunits(columns["CODMUNNASC"], 0, 6)
                columns["CODMUNRES"] = pc.utf8_slice_codeunits(columns["CODMUNRES"], 0, 6)
                writer.write_batch(
                    pa.record_batch([columns[name] for name in NEW_LAYOUT], schema=schema)
                )


def write_dbf(path: Path, chunks: Iterator[Columns]) -> None:
    import pyogrio

    # Without a width every field is 80 characters; the option RESIZE would fix that, far slower.
    schema = pa.schema(
        [
            pa.field(name, pa.string(), metadata={"GDAL:OGR:width": str(width)})
            for name, width in OLD_LAYOUT.items()
        ]
    )
    batches = (
        pa.record_batch([columns[name.upper()] for name in OLD_LAYOUT], schema=schema)
        for columns in chunks
    )
    pyogrio.write_arrow(
        pa.RecordBatchReader.from_batches(schema, batches),
        path,
        driver="ESRI Shapefile",
        encoding="ISO-8859-1",
        # The header holds a date, today's unless told: the bytes would change every day.
        layer_options={"DBF_DATE_LAST_UPDATE": "2024-01-01"},
    )
