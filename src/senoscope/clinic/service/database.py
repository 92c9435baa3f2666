"""Transactions on SQLite (one file, write-ahead log) or PostgreSQL; everything above is the same for both.

On SQLite every writing transaction begins IMMEDIATE: it takes the one write lock at once instead of failing half-way
(https://www.sqlite.org/lang_transaction.html), and ``synchronous=FULL`` has each commit on disk before it returns.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from senoscope.errors import ConfigError

METADATA = MetaData()
"""Every table of the service; ``create_tables`` makes those that are missing."""

_BUSY_MS = 15_000
_TABLES, _FILES = 7331, 7332  # PostgreSQL's advisory locks are numbers
_CONNECT_S = "5"
_ALIVE = {"idle": 10, "interval": 5, "count": 3}
"""Seconds of silence before the other side is asked, seconds between questions, questions without an answer."""


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return f"sqlite:///{path.resolve()}"


def open_database(url: str) -> Engine:
    """An engine for ``sqlite:///FILE`` or ``postgresql://…``, with tables made.

    Raises ``ConfigError`` for any other kind of database, or one that cannot be reached; the URL, which may hold a
    password, is in no message.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise _unknown() from None
    backend = parsed.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise _unknown()
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
        alive = {f"keepalives_{name}": str(value) for name, value in _ALIVE.items()}
        parsed = parsed.update_query_dict({"connect_timeout": _CONNECT_S, **alive, **parsed.query})
    engine = create_engine(parsed, hide_parameters=True, pool_pre_ping=backend == "postgresql", pool_size=20)
    if backend == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "connect", _prepare_postgresql)
    try:
        create_tables(engine)
    except SQLAlchemyError as error:
        raise ConfigError(
            f"the {backend} database cannot be used ({type(error).__name__})",
            expected="a database that is up and that this user may create tables in",
            fix="check --database, or leave it out to use a file in the data folder",
        ) from None
    return engine


def create_tables(engine: Engine) -> None:
    """Create the tables, and indexes of tables, that are missing."""
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":  # two servers that start at once must not both create them
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_TABLES})")
        METADATA.create_all(connection)
        for table in METADATA.tables.values():
            for index in table.indexes:
                index.create(connection, checkfirst=True)


def lock_files(connection: Connection, *, shared: bool) -> None:
    """Until this transaction ends, whoever refers to stored files (``shared``) keeps out whoever removes some.

    On SQLite every writing transaction keeps out every other.
    """
    if connection.dialect.name == "postgresql":
        kind = "_shared" if shared else ""
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock{kind}({_FILES})")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that is committed, durably, when the block ends without an error."""
    with engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One consistent view to read from; never waits for a writer on SQLite."""
    with engine.connect() as plain:
        connection = plain.execution_options(senoscope_reads=True)
        with connection.begin():
            yield connection


def insert_new(connection: Connection, table: Table, values: dict[str, Any]) -> bool:
    """Insert a row unless one with its keys is there; whether it was inserted."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).values(values).on_conflict_do_nothing()
    returned = statement.returning(*table.primary_key.columns)  # row counts of such inserts differ by driver
    return connection.execute(returned).first() is not None


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions by itself
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={_BUSY_MS}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "secure_delete=ON",  # what is deleted is overwritten: names of files may be names of patients
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _prepare_postgresql(connection: Any, _: Any) -> None:
    """A machine that loses power in a transaction keeps its rows locked until PostgreSQL finds it gone: two hours,
    unless asked to look sooner (https://www.postgresql.org/docs/current/runtime-config-connection.html)."""
    with connection.cursor() as cursor:
        for name, value in _ALIVE.items():
            cursor.execute(f"SET tcp_keepalives_{name} = {value}")
    connection.commit()


def _begin_sqlite(connection: Connection) -> None:
    reads = connection.get_execution_options().get("senoscope_reads")
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _unknown() -> ConfigError:
    return ConfigError(
        "the database URL names no database that is known here",
        expected="sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME",
        fix="leave --database out to use a file in the data folder",
    )
