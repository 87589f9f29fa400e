"""Verification of csv and json tables: each record is parsed whole, and a fault has its line.

Spark's readers of text say neither in which line nor in which column a record cannot be parsed,
quote the record in the error, and overlook four faults: a quoted newline whose second half looks
like a row, a second record on a line of json, a json key in another case than the schema's, and a
last line that was torn where the number of its fields is right. One pass over the text, before
anything is decided or trained, finds them all.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING
from urllib.parse import unquote

from pyspark.sql import functions as F
from pyspark.sql import types as T

from sparkweights.core.errors import InputError, join_names
from sparkweights.core.roles import quoted
from sparkweights.storage.location import Location
from sparkweights.storage.spark_paths import literal_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyspark.sql import Column, DataFrame, Row, SparkSession

    from sparkweights.storage.tables import TableSource

_CORRUPT = "__corrupt"
_NOT_OF_A_RECORD = (
    "header",
    "multiline",
    "linesep",
    "encoding",
    "charset",
    "mode",
    "enforceschema",
    "pathglobfilter",
)
_COMPRESSED = (".gz", ".bz2", ".zst", ".lz4", ".snappy", ".deflate", ".xz", ".zip")
_TAIL = 2**16  # bytes read at a time from the end of a file
_MAX_NAMES = 20  # that a message lists
_SOMETHING_AFTER = r"\}\s*[^\s\]}]"  # behind a closing brace: the next member, or the next record
FIELDS, QUOTES, COMMA, VALUE, RECORD, SEVERAL = (
    "fields", "quotes", "comma", "value", "record", "several"
)  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """The first record of a file that cannot be parsed.

    Attributes
    ----------
    file
        Its path.
    line
        From 1; of a file whose records take several lines, the number of the record.
    kind
        What is wrong.
    column
        The column whose value is wrong; None where the whole record is.
    """

    file: str
    line: int
    kind: str
    column: str | None


@dataclass(frozen=True)
class TextTable:
    """The text of a csv or json table.

    Attributes
    ----------
    spark, source
        The session, and the table.
    schema
        The columns in the files, without those of its folders.
    files
        The paths of its files that hold anything.
    paths
        The files, or the folders that hold them and nothing else.
    """

    spark: SparkSession
    source: TableSource
    schema: T.StructType
    files: Sequence[str]
    paths: Sequence[str]

    def verify(self) -> None:
        """Refuse the table if a record cannot be parsed, in one pass over the text.

        Where malformed records go to the quarantine, only those are refused that Spark's parser
        would take for rows.

        Raises
        ------
        InputError
            With file, line and column, and never a value of the record.
        """
        if self.source.format == "csv":
            self._verify_csv()
        else:
            self._verify_json()

    @property
    def _has_header(self) -> bool:
        return self.source.option("header").casefold() == "true"

    @property
    def _separator(self) -> str:
        given = self.source.option("sep", self.source.option("delimiter", ","))
        return given.replace("\\t", "\t")

    @property
    def _encoding(self) -> str:
        return self.source.option("encoding", self.source.option("charset", "UTF-8")).casefold()

    def _options(self) -> dict[str, str]:
        """Return the reader's options that concern one record."""
        options = {
            name: value
            for name, value in self.source.options.items()
            if name.casefold() not in _NOT_OF_A_RECORD
        }
        return {**options, "mode": "PERMISSIVE", "columnNameOfCorruptRecord": _CORRUPT}

    def _lines(self, paths: Sequence[str]) -> DataFrame:
        """Return the lines of files, or whole files of json whose records take several lines."""
        options = {name: self.source.option(name) for name in ("lineSep", "pathGlobFilter")}
        options["wholetext"] = str(self.source.is_multi_line).lower()
        reader = self.spark.read.options(**{k: value for k, value in options.items() if value})
        return (
            reader.format("text")
            .load([literal_path(path) for path in paths])
            .select(
                "value",
                F.col("_metadata.file_path").alias("file"),
                F.col("_metadata.file_block_start").alias("block"),
                F.monotonically_increasing_id().alias("id"),
            )
        )

    def _verify_csv(self) -> None:
        self._require_whole_last_lines()
        if self.source.is_multi_line or self._encoding.startswith(("utf-16", "utf-32", "utf16")):
            return  # its lines are not those of the text; Spark's own check stops the jobs
        lines_df = self._csv_faults(self._lines(self.paths))
        (row,) = lines_df.agg(
            F.min(F.when(F.col("kind").isNotNull(), F.col("file"))).alias("file"),
            F.count_if("is_header").alias("headers"),
        ).collect()
        if self._has_header and row["headers"] != len(self.files):
            self._refuse_headers(lines_df)
        if row["file"] is not None:
            raise self._refused(self._locate(row["file"]))

    def _csv_faults(self, lines_df: DataFrame) -> DataFrame:
        """Append whether a line is the header, the kind of its fault, and the column of it."""
        texts = T.StructType([T.StructField(each.name, T.StringType()) for each in self.schema])
        parsed = F.from_csv("value", _ddl(self.schema), self._options())
        as_text = F.from_csv("value", _ddl(texts), self._options())
        comment = self.source.option("comment")
        is_blank = F.trim("value") == ""
        if comment:
            is_blank |= F.col("value").startswith(comment)
        # The header is not parsed, but for lines of a file's first block that resemble it.
        first = self.schema.names[0].casefold()
        similar = (F.col("block") == 0) & F.lower("value").contains(first)
        equal = [F.lower(as_text[name]) == name.casefold() for name in self.schema.names]
        is_header = similar & F.coalesce(reduce(and_, equal), F.lit(col=False))
        if not self._has_header:
            is_header = F.lit(col=False)
        is_refused = self.source.malformed == "refuse"
        broken = parsed[_CORRUPT].isNotNull()
        marked_df = lines_df.filter(~is_blank).withColumn("is_header", is_header)
        problem = F.when(F.col("is_header"), None)
        problem = problem.when(broken, self._csv_problem(parsed, as_text) if is_refused else None)
        problem = problem.when(self._is_quote_open(), _problem(QUOTES))
        return marked_df.withColumn("problem", problem).select("*", "problem.*")

    def _csv_problem(self, parsed: Column, as_text: Column) -> Column:
        """Return what is wrong with a line that cannot be parsed."""
        problem = F.when(as_text[_CORRUPT].isNotNull(), _problem(FIELDS))
        for each in self.schema:
            if isinstance(each.dataType, T.StringType):
                continue
            wrong = as_text[each.name].isNotNull() & parsed[each.name].isNull()
            comma = as_text[each.name].rlike(r"^\s*[-+]?[0-9.]*,[0-9]+\s*$")
            is_number = isinstance(each.dataType, T.NumericType)
            kind = F.when(comma & F.lit(is_number), COMMA).otherwise(VALUE)
            problem = problem.when(wrong, _problem(kind, each.name))
        return problem.otherwise(_problem(FIELDS))

    def _is_quote_open(self) -> Column:
        """Return whether a line ends inside quotes.

        A quoted newline elsewhere leaves too few fields; in the last column, only this tells.
        """
        quote = self.source.option("quote", '"')
        if not quote or not isinstance(self.schema[-1].dataType, T.StringType):
            return F.lit(col=False)
        escape = self.source.option("escape", "\\")
        value = F.col("value")
        if escape and escape != quote:
            value = F.replace(value, F.lit(escape + quote), F.lit(""))
        is_odd = F.length(value) % 2 != F.length(F.replace(value, F.lit(quote), F.lit(""))) % 2
        # A quote within an unquoted value, such as 5" wide, opens nothing.
        mark = re.escape(quote)
        opened = rf"(?:^|{re.escape(self._separator)})\s*{mark}(?:[^{mark}]++|{mark}{mark})*+$"
        return is_odd & value.rlike(opened)

    def _refuse_headers(self, lines_df: DataFrame) -> None:
        """Refuse a file whose first line is not the schema's header, or that has two."""
        counts_df = lines_df.groupBy("file").agg(F.count_if("is_header").alias("headers"))
        wrong = counts_df.filter(F.col("headers") != 1).orderBy("file").first()
        if wrong is None:
            return
        file = wrong["file"]
        if wrong["headers"] > 1:
            raise InputError(
                f"{self._where(file)}: {wrong['headers']} lines are headers; a file has one.",
                hint="write each file with one header, at its beginning.",
            )
        header = self._header(file)
        expected = join_names(self.schema.names)
        if header is None:
            raise InputError(
                f"{self._where(file)}: its first line names none of the schema's columns "
                f"({expected}).",
                hint="if the files have no header, set options.header: 'false'; else correct "
                f"tables.{self.source.role}.schema or options.sep.",
            )
        raise InputError(
            f"{self._where(file)}: its header is '{header}'; tables.{self.source.role}.schema "
            f"names {expected}, in this order.",
            hint="correct the schema, or the file; columns are never read by position.",
        )

    def _header(self, file: str) -> str | None:
        """Return the first line of a file if it names some column, so that it is no row."""
        first_df = self._lines([unquote(file)]).orderBy("block", "id").limit(1)
        named = [F.contains(F.lower("value"), F.lit(name.casefold())) for name in self.schema.names]
        line = first_df.filter(reduce(or_, named)).first()
        if line is None:
            return None
        names = [name.strip(' "') for name in line["value"].split(self._separator)]
        known = {name.casefold() for name in self.schema.names}
        return join_names(names) if any(name.casefold() in known for name in names) else None

    def _verify_json(self) -> None:
        records_df = self._json_faults(self._lines(self.paths))
        known = self.schema.names
        names = F.lit("\n").cast("string")
        others = F.concat(
            names, F.array_join(F.array_except("keys", F.array(*map(F.lit, known))), "\n"), names
        )
        lower = F.lower(others)
        another_case = [
            F.contains(lower, F.lit(f"\n{name.casefold()}\n")) & ~F.array_contains("keys", name)
            for name in known
        ]
        is_another = reduce(or_, another_case, F.lit(col=False))
        (row,) = records_df.agg(
            F.count(F.lit(1)).alias("rows"),
            F.min(F.when(F.col("kind").isNotNull(), F.col("file"))).alias("file"),
            F.min(F.when(is_another, F.struct("file", others.alias("keys")))).alias("another"),
            F.min(F.struct("file", others.alias("keys"))).alias("first"),
            *[F.bool_or(F.array_contains("keys", name)).alias(f"c{i}")
              for i, name in enumerate(known)],
        ).collect()  # fmt: skip
        if row["file"] is not None:
            raise self._refused(self._locate(row["file"]))
        if row["rows"]:
            self._require_keys(row)

    def _require_keys(self, row: Row) -> None:
        """Refuse a column that no record holds, or holds in another case."""
        known = {name.casefold(): name for name in self.schema.names}
        hint = f"write the key as the files hold it in tables.{self.source.role}.schema."
        if row["another"] is not None:
            key = next(key for key in row["another"]["keys"].split("\n") if key.casefold() in known)
            raise InputError(
                f"{self._where(row['another']['file'])}: the key is '{key}'; "
                f"tables.{self.source.role}.schema names '{known[key.casefold()]}', and keys of "
                "json differ by upper and lower case.",
                hint=hint,
            )
        absent = [name for i, name in enumerate(self.schema.names) if row[f"c{i}"] is False]
        if absent:
            others = [key for key in row["first"]["keys"].split("\n") if key][:_MAX_NAMES]
            raise InputError(
                f"Table tables.{self.source.role}: no record has a key {join_names(absent)}, which "
                f"tables.{self.source.role}.schema names; a record of {_name(row['first']['file'])}"
                f" also has {join_names(others)}.",
                hint=f"{hint[:-1]}, or leave the column out.",
            )

    def _json_faults(self, lines_df: DataFrame) -> DataFrame:
        """Return a row per record with its keys, the kind of its fault and the column of it."""
        value = F.trim("value")
        wrapped = F.concat(F.lit("["), F.col("value"), F.lit("]"))
        # The exact test parses the text once more, and is made where a brace suggests it.
        one = F.coalesce(F.json_array_length(wrapped), F.lit(0)) == 1
        several = value.rlike(_SOMETHING_AFTER) & ~one
        elements = F.from_json("value", "array<string>", {"mode": "PERMISSIVE"})
        records = F.when(value.startswith("["), elements).otherwise(F.array("value"))
        filled_df = lines_df.filter(value != "").withColumn("records", records)
        units_df = filled_df.filter(F.coalesce(F.size("records") != 0, F.lit(col=True))).select(
            "file", "block", "id", several.alias("several"), F.posexplode_outer("records")
        )
        parsed = F.from_json("col", _ddl(self.schema), self._options())
        is_object = F.coalesce(F.trim("col").startswith("{"), F.lit(col=False))
        is_refused = self.source.malformed == "refuse"
        broken = ~is_object | parsed.isNull() | parsed[_CORRUPT].isNotNull()
        problem = F.when(broken, self._json_problem(is_object) if is_refused else None)
        problem = problem.when(F.col("several"), _problem(SEVERAL))
        keys = F.coalesce(F.json_object_keys("col"), F.array().cast("array<string>"))
        return units_df.withColumns({"problem": problem, "keys": keys}).select("*", "problem.*")

    def _json_problem(self, is_object: Column) -> Column:
        """Return what is wrong with a record that cannot be parsed."""
        options = {**self._options(), "columnNameOfCorruptRecord": _CORRUPT}
        whole = F.from_json("col", "map<string, string>", {"mode": "PERMISSIVE"})
        problem = F.when(~is_object | whole.isNull(), _problem(RECORD))
        for each in self.schema:
            alone = F.from_json("col", _ddl(T.StructType([each])), options)
            wrong = whole[each.name].isNotNull() & alone[_CORRUPT].isNotNull()
            problem = problem.when(wrong, _problem(VALUE, each.name))
        return problem.otherwise(_problem(RECORD))

    def _locate(self, file: str) -> Fault:
        """Return the first fault of a file, in a pass over that file.

        A line's number is the lines of the blocks before its own, and its place in its block.
        """
        lines_df = self._lines([unquote(file)])
        is_json = self.source.format == "json"
        faults_df = self._json_faults(lines_df) if is_json else self._csv_faults(lines_df)
        first = (
            faults_df.filter(F.col("kind").isNotNull())
            .orderBy("block", "id", *(["pos"] if is_json else []))
            .select("block", "id", *(["pos"] if is_json else []), "kind", "column")
            .first()
        )
        if first is None:  # the file was replaced meanwhile
            return Fault(file, 0, RECORD, None)
        if self.source.is_multi_line:
            return Fault(file, (first["pos"] or 0) + 1, first["kind"], first["column"])
        own = F.col("block") == first["block"]
        (place,) = lines_df.agg(
            F.count_if(F.col("block") < first["block"]).alias("before"),
            F.min(F.when(own, F.col("id"))).alias("start"),
        ).collect()
        line = place["before"] + first["id"] - place["start"] + 1
        return Fault(file, line, first["kind"], first["column"])

    def _where(self, file: str) -> str:
        return f"Table tables.{self.source.role}, file {_name(file)}"

    def _refused(self, fault: Fault) -> InputError:
        unit = "record" if self.source.is_multi_line else "line"
        kind = None if fault.column is None else self.schema[fault.column].dataType.simpleString()
        count = len(self.schema)
        reasons = {
            FIELDS: f"has not the {count} fields of the schema; it is short, long or torn",
            QUOTES: "ends inside quotes",
            COMMA: f"holds a number with a decimal comma in column '{fault.column}', which is "
            f"{kind}",
            VALUE: f"holds a value in column '{fault.column}' that is no {kind}",
            RECORD: "is no whole json object",
            SEVERAL: "holds more than one record",
        }
        aside = "set malformed: quarantine for the table to set such records aside"
        if self.source.role != "incoming":
            aside = "read it again from its source"
        hints = {
            FIELDS: f"repair the file; or {aside}.",
            QUOTES: "a quoted value holds a newline: set options.multiLine: 'true', or write it "
            "without newlines.",
            COMMA: "declare the column as decimal(p, s) in the schema, with options.locale: "
            "de-DE (Spark applies locale to decimals, not to doubles).",
            VALUE: f"correct the column's type in the schema, or the file; or {aside}.",
            RECORD: f"repair the file (one object per {unit}); or {aside}.",
            SEVERAL: "write a newline behind each record, or one array.",
        }
        return InputError(
            f"{self._where(fault.file)}, {unit} {fault.line:,}: it {reasons[fault.kind]}.",
            hint=hints[fault.kind],
        )

    def _require_whole_last_lines(self) -> None:
        """Refuse a last line without its newline: it may have been torn at any place.

        Of compressed files the end is not known without reading them whole; their format has
        a checksum of its own.
        """
        if self.source.final_newline == "optional" or not self.source.has_visible_files:
            return
        for file in self.files:
            if file.casefold().endswith(_COMPRESSED):
                continue
            line = _unterminated_line(Location.of(file))
            if line is not None and self._is_row(line):
                raise InputError(
                    f"{self._where(file)}: its last line does not end with a newline, so that its "
                    "last value may be truncated.",
                    hint="read the file again from its source; where its writer never ends the "
                    f"last line, set tables.{self.source.role}.final_newline: optional.",
                )

    def _is_row(self, line: str) -> bool:
        """Whether Spark would take a line for a row; others are its parser's to refuse."""
        quote = self.source.option("quote", '"') or None
        if quote is not None and line.rstrip().endswith(quote):
            return False  # the value is closed, hence whole
        if self.source.is_multi_line:
            return True  # a line is no record
        try:
            fields = next(_fields(line, self._separator, quote), [])
        except (csv.Error, TypeError):  # a separator of several characters
            fields = line.split(self._separator)
        return len(fields) == len(self.schema)


def _fields(line: str, separator: str, quote: str | None) -> Iterator[list[str]]:
    if quote is None:
        return csv.reader([line], delimiter=separator, quoting=csv.QUOTE_NONE)
    return csv.reader([line], delimiter=separator, quotechar=quote)


def _unterminated_line(file: Location) -> str | None:
    """Return what follows the last newline of a file; None where nothing does."""
    with file.open() as stream:
        end = stream.seek(0, 2)
        tail = b""
        while end and b"\n" not in tail and b"\r" not in tail:
            start = max(0, end - _TAIL)
            stream.seek(start)
            tail = stream.read(end - start) + tail
            end = start
    line = tail.replace(b"\r", b"\n").rpartition(b"\n")[2].decode(errors="replace")
    return line if line.strip() else None


def _problem(kind: str | Column, name: str | None = None) -> Column:
    kind = F.lit(kind) if isinstance(kind, str) else kind
    return F.struct(kind.alias("kind"), F.lit(name).cast("string").alias("column"))


def _ddl(schema: T.StructType) -> str:
    """Return a schema with the column of records that cannot be parsed, as Spark parses it."""
    columns = [f"{quoted(each.name)} {each.dataType.simpleString()}" for each in schema]
    return ", ".join([*columns, f"{quoted(_CORRUPT)} string"])


def _name(file: str) -> str:
    return unquote(file).rpartition("/")[2]
