"""The modules that learn from exported tables: they read files, never the database."""
