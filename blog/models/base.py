"""The declarative base of all tables, constraint names, and the UTC datetime type."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar, get_args

from sqlalchemy import CheckConstraint, ColumnElement, DateTime, Dialect, MetaData, literal_column
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.sql.expression import ColumnClause
from sqlalchemy.sql.visitors import replacement_traverse
from sqlalchemy.types import TypeDecorator


class DamagedValueError(ValueError):
    """An invalid value in a column, or a missing row of the site: damage, or an edit by hand."""


class UTCDateTime(TypeDecorator[datetime]):
    """A datetime: aware in Python, naive UTC in the column, as the seed's ``DateTime`` stores it.

    A naive value is refused, because it is ambiguous.
    """

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone: pass an aware datetime.")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        """Return the function that converts a column's value.

        It raises :class:`DamagedValueError` for text that is not a date, which SQLite also stores.
        """
        read = super().result_processor(dialect, coltype)

        def read_or_refuse(value: Any) -> Any:
            try:
                return read(value) if read else value
            except (TypeError, ValueError) as error:
                raise DamagedValueError(f"{value!r} is not a date") from error

        return read_or_refuse


def one_of(column: str, words: Any) -> CheckConstraint:
    """Return the constraint of a column that has one of the words of a ``Literal``."""
    quoted = ", ".join(f"'{word}'" for word in get_args(words))
    return CheckConstraint(f"{column} IN ({quoted})", name=column)


def sql(rule: ColumnElement[bool], row: str) -> str:
    """Return a rule about the rows of a table as SQL about one of them, for triggers and views.

    :param row: the name of the row in the SQL: ``NEW`` or ``OLD`` in a trigger, or the table.
    """

    def of_the_row(element: Any, **_: object) -> ColumnClause[Any] | None:
        is_column = isinstance(element, ColumnClause)
        return literal_column(f"{row}.{element.name}") if is_column else None

    about = replacement_traverse(rule, {}, of_the_row)
    return f"({about.compile(compile_kwargs={'literal_binds': True})})"


class Base(DeclarativeBase):
    """The base of every model."""

    metadata = MetaData(
        # Migrations drop and alter constraints by name, so each needs a predictable one.
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {datetime: UTCDateTime()}
