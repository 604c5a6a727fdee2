"""Import from other blogs: one reader per foreign format, one ledger for all.

The entry point is ``run.import_path``. ``sources`` finds the reader for a path; ``markdown`` and
``wordpress`` read and do not touch the database; ``visibility`` decides what is public; the results
are ``items``, which ``matching`` and ``ledger`` store in the database, each once.
"""
