"""What the command keeps: its runs, and every byte of its state folder and its database."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from reconnect.runs.database import engine_of
from reconnect.runs.store import Run, Runs
from reconnect.settings import Settings


def settings_of(state_home: Path) -> Settings:
    """The settings of a command whose state is kept below ``state_home`` (``XDG_STATE_HOME``)."""
    return Settings(state_dir=state_home / "reconnect")


def runs(state_home: Path) -> list[Run]:
    """The runs that are kept there, the oldest first."""
    return Runs(settings_of(state_home)).newest()[::-1]


def contents(settings: Settings) -> Iterator[tuple[str, bytes]]:
    """Every file of the state folder and every value of the database, with where it is; what the store compresses is
    given as it was before."""
    for path in settings.state.rglob("*"):
        # Others' runs take theirs away meanwhile.
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                yield str(path), path.read_bytes()
    engine = engine_of(settings)
    schemas = [None] if engine.dialect.name == "sqlite" else ["public", "dbos"]
    names = [(schema, name) for schema in schemas for name in sa.inspect(engine).get_table_names(schema)]
    with engine.connect() as connection:
        for schema, name in names:
            table = sa.Table(name, sa.MetaData(), schema=schema, autoload_with=engine)
            for row in connection.execute(sa.select(table)):
                for column, value in zip(table.columns.keys(), row, strict=True):
                    content = value if isinstance(value, bytes) else str(value).encode(errors="replace")
                    with contextlib.suppress(zlib.error):
                        content = zlib.decompress(content)
                    yield f"{name}.{column}", content


def holding(settings: Settings, word: str) -> list[str]:
    """Where ``word`` is kept."""
    return [where for where, content in contents(settings) if word.encode() in content]
