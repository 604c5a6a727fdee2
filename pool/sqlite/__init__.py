"""Settings for an engine on SQLite, and what to do when its file fails.

engine = create_engine("sqlite:///app.db", poolclass=ThreadLocalPool)
configure(engine)
use_wal(engine)  # once per database: the file remembers it

with engine.connect().execution_options(**WRITING) as connection:
    ...
"""

from .._errors import SettingError
from ._configure import WRITING, WRITING_NOWAIT, configure, opened_file, use_wal
from ._file import OpenedFile

__all__ = [
    "WRITING",
    "WRITING_NOWAIT",
    "OpenedFile",
    "SettingError",
    "configure",
    "opened_file",
    "use_wal",
]
