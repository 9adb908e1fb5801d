"""A dialect of SQLAlchemy for SQLite that several processes write to.

A transaction that begins with reading and then writes can't wait for another writer: SQLite says at once that the
database is locked. Here each begins as a writer, and waits for its turn.
"""

from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite


class Dialect(SQLiteDialect_pysqlite):
    driver = "immediate"
    supports_statement_cache = True

    def do_execute(self, cursor, statement, parameters, context=None):
        if statement == "BEGIN":
            statement = "BEGIN IMMEDIATE"
        super().do_execute(cursor, statement, parameters, context)
