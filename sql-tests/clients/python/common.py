"""What the tests share: the connection, tables of their own, and the check of an error."""

import os
import unittest
import uuid

import adbc_driver_flightsql.dbapi as flightsql
import adbc_driver_manager as adbc
import pyarrow as pa

URI = os.environ.get("VOLLEY_URI")
USER = os.environ.get("VOLLEY_USER")
PASSWORD = os.environ.get("VOLLEY_PASSWORD")
DATA = os.environ.get("VOLLEY_DATA")


def connect(autocommit=True, **options):
    """A connection to the server under test. DB-API's default, autocommit off, is a test of its own."""
    if URI is None:
        raise RuntimeError("VOLLEY_URI has to name the server, such as grpc://127.0.0.1:32010")
    if USER is not None:
        options = {"username": USER, "password": PASSWORD, **options}
    return flightsql.connect(URI, db_kwargs=options, autocommit=autocommit)


def vector_type(dimension):
    """The Arrow type of `vector(n)`."""
    return pa.list_(pa.field("item", pa.float32(), nullable=False), dimension)


def vectors(rows, dimension):
    """An Arrow array of `vector(n)` values."""
    return pa.array(rows, vector_type(dimension))


class ClientTest(unittest.TestCase):
    """A test with a connection, `self.db`, and a cursor, `self.cursor`; both end with the test."""

    maxDiff = None

    def setUp(self):
        self.db = connect()
        self.addCleanup(self.db.close)
        self.cursor = self.db.cursor()
        self.addCleanup(self.cursor.close)

    def name(self, kind="t"):
        """A name nobody else uses, so that the tests can run at once and again on the same server."""
        return f"{kind}_{uuid.uuid4().hex[:12]}"

    def table(self, columns=None, name=None):
        """The name of a new table, or of none yet without columns; it is dropped after the test."""
        name = name or self.name()
        if columns is not None:
            self.run_sql(f"CREATE TABLE {name} ({columns})")
        self.addCleanup(self.run_sql, f"DROP TABLE IF EXISTS {name}")
        return name

    def run_sql(self, sql, parameters=None):
        """Runs a statement on a cursor of its own and tells its row count."""
        with self.db.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.rowcount

    def query(self, sql, parameters=None):
        """The rows of a query, as tuples."""
        with self.db.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall()

    def arrow(self, sql, parameters=None):
        """The result of a query, as an Arrow table."""
        with self.db.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetch_arrow_table()

    def value(self, sql, parameters=None):
        """The one value of a query."""
        rows = self.query(sql, parameters)
        self.assertEqual((len(rows), len(rows[0])), (1, 1))
        return rows[0][0]

    def fails(self, status, sentence, call, *arguments):
        """Calls, and checks the status and the words of the error, and that the connection still works.

        `status` is the name of an ADBC status; DB-API's exception class follows from it. `sentence` is a part of what
        the server says.
        """
        with self.assertRaises(adbc.Error) as caught:
            call(*arguments)
        error = caught.exception
        self.assertIn(sentence, str(error))
        self.assertEqual(error.status_code.name, status, str(error))
        self.assertIsInstance(error, EXCEPTIONS[status])
        self.assertEqual(self.value("SELECT 7"), 7)
        return error

    def exists(self, table):
        """Whether a table is to be seen."""
        return self.value("SELECT count(*) FROM information_schema.tables WHERE table_name = ?", (table,)) == 1


# The exception that DB-API has for a status, as the driver manager maps them.
EXCEPTIONS = {
    "ALREADY_EXISTS": adbc.ProgrammingError,
    "CANCELLED": adbc.OperationalError,
    "INVALID_ARGUMENT": adbc.ProgrammingError,
    "INVALID_STATE": adbc.ProgrammingError,
    "NOT_FOUND": adbc.ProgrammingError,
    "NOT_IMPLEMENTED": adbc.NotSupportedError,
    "TIMEOUT": adbc.OperationalError,
    "UNAUTHENTICATED": adbc.ProgrammingError,
    "UNAUTHORIZED": adbc.ProgrammingError,
    "UNKNOWN": adbc.OperationalError,
}
