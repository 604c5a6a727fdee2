"""Threadleaf, a small self-hosted blog on plain WSGI.

Read in this order: :mod:`blog.urls`, :mod:`blog.application`, :mod:`blog.request`,
:mod:`blog.views.reader` with ``templates/reader/``, :mod:`blog.models.entry`.
Importing this package imports nothing else.
"""
