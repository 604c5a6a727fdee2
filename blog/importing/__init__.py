"""Import from other blogs: one reader a foreign format, one ledger for all.

``run.import_path`` is what a command calls. ``sources`` finds the reader for a path;
``markdown`` and ``wordpress`` read, ``visibility`` decides who may see what they find, and know nothing of the database; what they find are
``items``; ``ledger`` takes these into the database, each once.
"""
