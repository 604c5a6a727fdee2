"""Import from other blogs: one reader a foreign format, one ledger for all.

``run.import_path`` is what a command calls. ``sources`` finds the reader for a path;
``markdown`` and ``wordpress`` read, and know nothing of the database; ``visibility`` decides what
of it is public; what they find are ``items``; ``matching`` and ``ledger`` take these into the
database, each once.
"""
