"""A pytest plugin: SQLAlchemy claims a version that the pool was not tested with."""

import sqlalchemy

sqlalchemy.__version__ = "99.0"
