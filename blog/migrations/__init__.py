"""The schema's history, run by :func:`blog.schema.upgrade`. Alembic reads the files by path."""
