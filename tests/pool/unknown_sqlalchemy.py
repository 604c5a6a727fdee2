"""A pytest plugin: SQLAlchemy says that it is of a version that the pool was not tested with."""

import sqlalchemy

sqlalchemy.__version__ = "99.0"
