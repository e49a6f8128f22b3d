"""Statements of the ORM whose SQL is written once per thread and then only run.

Building and compiling a queryset takes about five times as long as running it; for the handful of statements that
every item costs (who calls, what they may do, the next item, the judgement) that was two thirds of all the work of a
web process. They are still written as querysets, so one text serves both databases; a `Param` stands where a value
comes in with each call. Everything else uses the ORM as it is.

What is left is the way to the database and back, so `together` sends at once what needs no answer in between.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import psycopg
import psycopg.sql
from django.core.exceptions import FieldDoesNotExist
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Expression, Field, Model, QuerySet
from django.db.models.query import get_related_populators
from django.db.models.sql import InsertQuery, UpdateQuery
from django.db.transaction import TransactionManagementError, mark_for_rollback_on_error

M = TypeVar("M", bound=Model)
R = TypeVar("R")


class Param(Expression):
    """A place for a value in a prepared statement; `field` makes the value ready for the database."""

    def __init__(self, name: str, field: Field) -> None:
        super().__init__(output_field=field)
        self.name = name

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper) -> Any:
        return "%s", (self,)


@dataclass(frozen=True)
class _Compiled:
    connection: BaseDatabaseWrapper
    sql: str
    params: Sequence[Any]

    def run(self, cursor: Any, values: dict[str, Any]) -> None:
        """Send the statement; `cursor` has its answer at once, but inside of `together` only at the end of it."""
        ready = [
            param.output_field.get_db_prep_save(values[param.name], self.connection)
            if isinstance(param, Param)
            else param
            for param in self.params
        ]
        cursor.execute(self.sql, ready)

    def cursor(self) -> Any:
        """Return a cursor with Django's own checks and log around it."""
        connection: Any = self.connection
        if connection.vendor != "postgresql":
            return connection.cursor()
        # What `connection.cursor()` does, but for the class of the cursor: Django's puts the values into the text.
        connection.close_if_health_check_failed()
        connection.ensure_connection()
        with connection.wrap_database_errors:
            return connection._prepare_cursor(psycopg.Cursor(connection.connection))


@dataclass(frozen=True)
class _CompiledRows(_Compiled):
    compiler: Any
    converters: Any

    def rows(self, cursor: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self._fetched(cursor)]

    def _fetched(self, cursor: Any) -> Any:
        rows = cursor.fetchall()
        return self.compiler.apply_converters(rows, self.converters) if self.converters else rows


@dataclass(frozen=True)
class _CompiledSelect(_CompiledRows):
    span: slice  # of the columns that belong to the model itself
    names: list[str]
    populators: list[Any]
    locks: bool

    def instances(self, cursor: Any) -> list[Any]:
        return [self._instance(row) for row in self._fetched(cursor)]

    def _instance(self, row: Any) -> Any:
        made = self.compiler.klass_info["model"].from_db(self.connection.alias, self.names, row[self.span])
        for populator in self.populators:
            populator.populate(row, made)
        for name, position in (self.compiler.annotation_col_map or {}).items():
            setattr(made, name, row[position])
        return made


@dataclass(frozen=True)
class Call(Generic[R]):
    """A statement with its values, not run yet: what `asked` of each kind of statement returns."""

    compiled: _Compiled
    values: dict[str, Any]
    read: Callable[[Any], R]  # what it gives, from a cursor that has the answer

    def run(self) -> R:
        with mark_for_rollback_on_error(using=self.compiled.connection.alias), self.compiled.cursor() as cursor:
            self.compiled.run(cursor, self.values)
            return self.read(cursor)


def together(*calls: Call[Any]) -> list[Any]:
    """Run `calls` in their order and return what each gives. On PostgreSQL they make the journey there and back once.

    None waits for the answer of the one before (libpq's pipeline mode), nor for the BEGIN of a transaction that has
    sent nothing yet. As ever, each sees what those before it did and what others have committed by then, so a lock
    goes first; and where one fails, none after it is run and its error is raised. Elsewhere they run one by one.
    """
    connection: Any = connections[DEFAULT_DB_ALIAS]
    if connection.vendor != "postgresql":
        return [call.run() for call in calls]
    with mark_for_rollback_on_error(using=connection.alias), ExitStack() as stack:
        cursors = [stack.enter_context(call.compiled.cursor()) for call in calls]
        with connection.wrap_database_errors, connection.connection.pipeline():
            for call, cursor in zip(calls, cursors, strict=True):
                call.compiled.run(cursor, call.values)
        return [call.read(cursor) for call, cursor in zip(calls, cursors, strict=True)]


class _Statement(ABC):
    """Compiles on first use in a thread, and again when the thread has another connection.

    On PostgreSQL the statement is sent apart from its values, so that psycopg has the server prepare what comes often:
    planning it takes five times as long as looking up the row. What is the same in each call stands in the text, as
    only so can the server tell that a partial index holds all it asks for.
    """

    def __init__(self) -> None:
        self._kept = threading.local()

    def _compiled(self) -> Any:
        connection = connections[DEFAULT_DB_ALIAS]
        kept = self._kept.__dict__.get("compiled")
        if kept is None or kept.connection is not connection:
            kept = self._kept.compiled = self._compile(connection)
        return kept

    @abstractmethod
    def _compile(self, connection: BaseDatabaseWrapper) -> _Compiled:
        """Return the statement, written for this connection."""


class Select(_Statement, Generic[M]):
    """``Select(lambda key: Assignment.objects.filter(key=key), key=CharField())``, run by ``.all(key=…)``."""

    def __init__(self, build: Callable[..., QuerySet[M]], **fields: Field) -> None:
        super().__init__()
        self._build, self._fields = build, fields

    def asked(self, **values: Any) -> Call[list[M]]:
        compiled = self._compiled()
        if compiled.locks and not compiled.connection.in_atomic_block:
            raise TransactionManagementError("This statement locks rows; run it inside transaction.atomic().")
        return Call(compiled, values, compiled.instances)

    def all(self, **values: Any) -> list[M]:
        return self.asked(**values).run()

    def first(self, **values: Any) -> M | None:
        """Return the first row or None; the queryset itself should ask for no more than one."""
        return next(iter(self.all(**values)), None)

    def _compile(self, connection: BaseDatabaseWrapper) -> _CompiledSelect:
        query = self._build(**_params(self._fields)).query
        compiler = query.get_compiler(connection=connection)
        sql, params = _with_constants(connection, *compiler.as_sql())
        columns = compiler.klass_info["select_fields"]
        span = slice(columns[0], columns[-1] + 1)
        return _CompiledSelect(
            connection=connection,
            sql=sql,
            params=params,
            compiler=compiler,
            span=span,
            names=[column[0].target.attname for column in compiler.select[span]],
            populators=get_related_populators(  # type: ignore[call-arg]  # stubs of a later Django
                compiler.klass_info, compiler.select, connection.alias
            ),
            converters=compiler.get_converters([column[0] for column in compiler.select[: compiler.col_count]]),
            locks=query.select_for_update and connection.features.has_select_for_update,
        )


class Rows(_Statement):
    """``Rows(lambda user: Assignment.objects.filter(user=user).values_list("state"), user=…)``, run by calling it."""

    def __init__(self, build: Callable[..., QuerySet[Any, Any]], **fields: Field) -> None:
        super().__init__()
        self._build, self._fields = build, fields

    def asked(self, **values: Any) -> Call[list[tuple[Any, ...]]]:
        compiled = self._compiled()
        return Call(compiled, values, compiled.rows)

    def __call__(self, **values: Any) -> list[tuple[Any, ...]]:
        return self.asked(**values).run()

    def _compile(self, connection: BaseDatabaseWrapper) -> _CompiledRows:
        compiler = self._build(**_params(self._fields)).query.get_compiler(connection=connection)
        sql, params = _with_constants(connection, *compiler.as_sql())
        converters = compiler.get_converters([column[0] for column in compiler.select])
        return _CompiledRows(connection, sql, params, compiler, converters)


class Update(_Statement):
    """``Update(lambda pk, done: (Task.objects.filter(pk=pk), {"done": done}), pk=…, done=…)``, run by calling it."""

    def __init__(self, build: Callable[..., tuple[QuerySet[Any], dict[str, Any]]], **fields: Field) -> None:
        super().__init__()
        self._build, self._fields = build, fields

    def asked(self, **values: Any) -> Call[int]:
        return Call(self._compiled(), values, _changed)

    def __call__(self, **values: Any) -> int:
        """Return how many rows were changed."""
        return self.asked(**values).run()

    def _compile(self, connection: BaseDatabaseWrapper) -> _Compiled:
        queryset, changes = self._build(**_params(self._fields))
        query: Any = queryset.query.chain(UpdateQuery)
        query.add_update_values(changes)
        query.clear_ordering(force=True)
        query.clear_select_clause()
        sql, params = _with_constants(connection, *query.get_compiler(connection=connection).as_sql())
        return _Compiled(connection, sql, params)


class Insert(_Statement, Generic[M]):
    """``Insert(Feedback)``, run by calling it with a new instance: ``save(force_insert=True)`` without signals."""

    def __init__(self, model: type[M]) -> None:
        super().__init__()
        self._model = model
        self._columns = [field for field in model._meta.local_concrete_fields if not field.primary_key]

    def asked(self, instance: M) -> Call[M]:
        values = {field.attname: field.pre_save(instance, add=True) for field in self._columns}
        return Call(self._compiled(), values, partial(_stored, instance))

    def __call__(self, instance: M) -> M:
        """Store `instance`, give it its primary key and return it."""
        return self.asked(instance).run()

    def _compile(self, connection: BaseDatabaseWrapper) -> _Compiled:
        pk = self._model._meta.pk
        if pk is None or not connection.features.can_return_columns_from_insert:
            raise FieldDoesNotExist("Prepared inserts need a primary key that the database hands back.")
        blank = self._model()
        for field in self._columns:
            setattr(blank, field.attname, Param(field.attname, field))
        query = InsertQuery(self._model)
        query.insert_values(self._columns, [blank], raw=True)
        compiler = query.get_compiler(connection=connection)
        compiler.returning_fields = [pk]
        ((sql, params),) = compiler.as_sql()
        return _Compiled(connection, sql, params)


def _changed(cursor: Any) -> int:
    return cursor.rowcount


def _stored(instance: M, cursor: Any) -> M:
    (instance.pk,) = cursor.fetchone()
    instance._state.adding, instance._state.db = False, DEFAULT_DB_ALIAS
    return instance


def _with_constants(connection: BaseDatabaseWrapper, text: str, params: Sequence[Any]) -> tuple[str, Sequence[Any]]:
    """Return the statement with what is no `Param` written into it, on PostgreSQL; else as it is."""
    if connection.vendor != "postgresql":
        return text, params
    pieces = text.split("%s")
    if len(pieces) != len(params) + 1:
        raise ValueError(f"A prepared statement with {len(params)} values has {len(pieces) - 1} places for them.")
    places = ["%s" if isinstance(one, Param) else _literal(one, connection) for one in params]
    written = "".join(piece + place for piece, place in zip(pieces, [*places, ""], strict=True))
    return written, [one for one in params if isinstance(one, Param)]


def _literal(value: Any, connection: BaseDatabaseWrapper) -> str:
    return psycopg.sql.Literal(value).as_string(connection.connection).replace("%", "%%")


def _params(fields: dict[str, Field]) -> dict[str, Param]:
    return {name: Param(name, field) for name, field in fields.items()}
