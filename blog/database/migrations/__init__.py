"""The schema's history, run by :func:`blog.operations.migration.upgrade`. Alembic reads the files by path."""
