"""What must hold between the stream of a configuration and its other sections."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparkweights.core.errors import ConfigError, join_names
from sparkweights.sampling.period import Span
from sparkweights.spec.scoring import ESTIMATE
from sparkweights.weights.spec import BY_ROW

if TYPE_CHECKING:
    from sparkweights.config.schema import Config
    from sparkweights.spec.stream import Stream, StreamSource

MINI_BATCH = "mini_batch"
_STATED_SCHEMA = ("csv", "json", "kafka")
_OWN_SCHEMA = ("table", "rate")
_BROKERS = "kafka.bootstrap.servers"
_TOPIC = ("subscribe", "subscribePattern", "assign")  # Spark's options
_PART = r"\d{1,9}\s+(?:millisecond|second|minute|hour|day)s?"
_INTERVAL = re.compile(rf"(?:interval\s+)?{_PART}(?:\s+{_PART})*", re.IGNORECASE)


def check_stream(config: Config) -> None:
    """Refuse a stream that cannot run.

    Raises
    ------
    ConfigError
        With the key path, the value, what is allowed, and the next step.
    """
    settings = config.stream
    if settings is None:
        return
    for key, source in (("incoming", settings.incoming), ("outcomes", settings.outcomes)):
        if source is not None:
            _check_source(f"stream.{key}", source)
    _check_window(settings)
    _check_trigger(settings.every)
    for key, span in (("wait", settings.wait), ("window.span", settings.window.span)):
        if span is None:
            continue
        Span.parse(span, where=f"stream.{key}")
        if config.columns.time is None:
            raise ConfigError(
                f"stream.{key}: {span!r} is a time between events, and columns.time is missing.",
                hint="name the column of a row's date or timestamp as columns.time.",
            )
    if settings.prior == "model" and config.decision.target_prior == ESTIMATE:
        raise ConfigError(
            "stream.prior: model and decision.target_prior: estimate; one micro-batch is too few "
            "rows to estimate class shares from.",
            hint="set stream.prior: window, which estimates them over micro-batches.",
        )
    _check_weights(config, settings)


def _check_source(where: str, source: StreamSource) -> None:
    if source.format in _STATED_SCHEMA and source.schema_ddl is None:
        raise ConfigError(
            f"{where}.schema is missing; a stream of {source.format} does not state its columns.",
            hint="write them as 'name type, ...'.",
        )
    if source.format in _OWN_SCHEMA and source.schema_ddl is not None:
        raise ConfigError(
            f"{where}.schema: {source.schema_ddl!r}; a stream of format {source.format} has its "
            "own columns and types.",
            hint=f"leave {where}.schema out.",
        )
    if source.format == "kafka":
        _check_topic(where, source)


def _check_topic(where: str, source: StreamSource) -> None:
    """Refuse a topic without brokers, and a second place that names one."""
    stated = {name.casefold() for name in source.options}
    if _BROKERS.casefold() not in stated:
        raise ConfigError(
            f"{where}.options: {_BROKERS} is missing; a stream of format kafka needs the address "
            "of a broker.",
            hint=f"for instance options: {{{_BROKERS}: 'host:9092'}}.",
        )
    again = [name for name in _TOPIC if name.casefold() in stated]
    if again:
        raise ConfigError(
            f"{where}.options: {join_names(again)} stated; the topic is {where}.location, "
            f"'{source.location}'.",
            hint=f"leave it out, and write one topic as {where}.location.",
        )


def _check_window(settings: Stream) -> None:
    window = settings.window
    lengths = {"rows": window.rows, "span": window.span, "half_life": window.half_life}
    stated = [name for name, value in lengths.items() if value is not None]
    if len(stated) != 1:
        raise ConfigError(
            f"stream.window: {join_names(stated)} stated; a window has one length of "
            f"{join_names(lengths)}.",
            hint="for instance {rows: 5000}.",
        )


def _check_trigger(every: str | None) -> None:
    """Refuse a time between micro-batches that Spark would refuse after the model is loaded."""
    if every is not None and not _INTERVAL.fullmatch(every.strip()):
        raise ConfigError(
            f"stream.every: {every!r}; allowed: a whole number of milliseconds, seconds, minutes, "
            "hours or days, or several of them.",
            hint="for instance 30 seconds.",
        )


def _check_weights(config: Config, settings: Stream) -> None:
    """Refuse weights that are no number per class, where a model learns with them."""
    if settings.learn is None or settings.outcomes is None or config.model.kind != MINI_BATCH:
        return
    weights = config.weights
    if weights.scheme == BY_ROW or weights.by or weights.window:
        raise ConfigError(
            "stream.learn and weights: the weights of a stream are one number per class, and these "
            "differ from row to row.",
            hint="choose a scheme per class without by and window, or set stream.learn: null.",
        )
