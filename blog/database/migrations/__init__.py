"""The schema's history, run by :mod:`blog.operations.migration`.

Alembic reads the files by path.
"""
