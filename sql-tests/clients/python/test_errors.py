"""Errors: the class that DB-API has for them, the server's sentence, and a connection that still works."""

import unittest

import adbc_driver_flightsql.dbapi as flightsql
import adbc_driver_manager as adbc

from common import ClientTest, URI, USER, connect


class Errors(ClientTest):
    def test_syntax(self):
        self.fails("INVALID_ARGUMENT", "syntax error at line 1, column 1: expected a statement, found SELEC",
                   self.query, "SELEC 1")
        self.fails("INVALID_ARGUMENT", "syntax error", self.query, "SELECT 1 FROM")

    def test_nothing_to_run(self):
        for sql in ("", "   ", "-- nothing", ";"):
            with self.subTest(sql=sql), self.assertRaises(adbc.ProgrammingError):
                self.query(sql)
        self.assertEqual(self.value("SELECT 1"), 1)

    def test_several_statements(self):
        self.fails("INVALID_ARGUMENT", "one statement", self.query, "SELECT 1; SELECT 2")

    def test_names(self):
        table = self.table("title TEXT")
        self.fails("NOT_FOUND", 'table "nosuch" does not exist', self.query, "SELECT * FROM nosuch")
        self.fails("NOT_FOUND", "nosuch", self.query, "SELECT * FROM nosuch.t")
        self.fails("INVALID_ARGUMENT", 'column "titel" does not exist; did you mean "title"?', self.query,
                   f"SELECT titel FROM {table}")
        self.fails("ALREADY_EXISTS", f'table "{table}" exists already', self.query, f"CREATE TABLE {table} (id INT)")
        self.fails("INVALID_ARGUMENT", "nosuchfunction", self.query, "SELECT nosuchfunction(1)")

    def test_values(self):
        self.fails("INVALID_ARGUMENT", "division by zero", self.query, "SELECT 1 / 0")
        self.fails("INVALID_ARGUMENT", "invalid input for type integer: 'abc'", self.query, "SELECT 'abc'::int")
        self.fails("INVALID_ARGUMENT", "division by zero", self.query,
                   "SELECT 1 / (value - 9000) FROM generate_series(1, 10000)")

    def test_constraints(self):
        table = self.table("id INT PRIMARY KEY, words TEXT NOT NULL")
        self.run_sql(f"INSERT INTO {table} VALUES (1, 'a')")
        duplicate = "duplicate key value violates primary key: (id)=(1) already exists"
        missing = 'null value in column "words" violates its NOT NULL constraint'
        # FailedPrecondition has no ADBC status; the driver makes it UNKNOWN, which is DB-API's OperationalError.
        for run in (self.query, self.cursor.executescript):
            self.fails("ALREADY_EXISTS", duplicate, run, f"INSERT INTO {table} VALUES (1, 'b')")
            self.fails("UNKNOWN", missing, run, f"INSERT INTO {table} VALUES (2, NULL)")
        self.fails("ALREADY_EXISTS", duplicate, self.query, f"INSERT INTO {table} VALUES (?, ?)", (1, "b"))
        self.assertEqual(self.query(f"SELECT * FROM {table}"), [(1, "a")])

    def test_not_built(self):
        table = self.table("id INT")
        self.fails("NOT_IMPLEMENTED", "UPDATE is not supported yet", self.query, f"UPDATE {table} SET id = 1")
        self.fails("NOT_IMPLEMENTED", "every statement commits by itself", self.query, "BEGIN")

    def test_substrait(self):
        """Bytes are a Substrait plan for the driver."""
        self.fails("NOT_IMPLEMENTED", "Substrait plans are not supported", self.query, b"\x00\x01")

    def test_after_many_errors(self):
        """A cursor that failed is as good as new."""
        for _ in range(50):
            with self.assertRaises(adbc.ProgrammingError):
                self.cursor.execute("SELECT * FROM nosuch")
            self.cursor.execute("SELECT 1")
            self.assertEqual(self.cursor.fetchall(), [(1,)])

    def test_timeout(self):
        """The client's deadline ends the query on the server, too."""
        slow = "SELECT count(*) FROM generate_series(1, 300000) a, generate_series(1, 300000) b"
        with connect(**{"adbc.flight.sql.rpc.timeout_seconds.query": "1.5",
                        "adbc.flight.sql.rpc.timeout_seconds.fetch": "1.5"}) as db, db.cursor() as cursor:
            with self.assertRaises(adbc.OperationalError) as caught:
                cursor.execute(slow)
                cursor.fetchall()
            self.assertEqual(caught.exception.status_code.name, "TIMEOUT", str(caught.exception))
        self.assertEqual(self.value("SELECT 1"), 1)

    def test_statement_timeout(self):
        self.cursor.execute("SET volley.statement_timeout = '300ms'")
        with self.assertRaises(adbc.OperationalError) as caught:
            self.cursor.execute("SELECT count(*) FROM generate_series(1, 300000) a, generate_series(1, 300000) b")
            self.cursor.fetchall()
        self.assertEqual(caught.exception.status_code.name, "TIMEOUT", str(caught.exception))


@unittest.skipIf(USER is None, "VOLLEY_USER is unset: the server has no users")
class Login(ClientTest):
    def test_wrong_password(self):
        with self.assertRaises(adbc.ProgrammingError) as caught:
            with connect(password="wrong") as db, db.cursor() as cursor:
                cursor.execute("SELECT 1")
        self.assertEqual(caught.exception.status_code.name, "UNAUTHENTICATED")
        sentence = str(caught.exception)
        with self.assertRaises(adbc.ProgrammingError) as caught:
            with connect(username="nobody") as db, db.cursor() as cursor:
                cursor.execute("SELECT 1")
        self.assertEqual(str(caught.exception), sentence, "the answer must not tell which names exist")

    def test_no_password(self):
        with self.assertRaises(adbc.ProgrammingError) as caught:
            with flightsql.connect(URI, autocommit=True) as db, db.cursor() as cursor:
                cursor.execute("SELECT 1")
        self.assertEqual(caught.exception.status_code.name, "UNAUTHENTICATED")

    def test_password_lengths(self):
        """The header that carries a password is cut into groups of three bytes; each length of the last one counts."""
        for password in ("abc", "abcd", "abcde", "a:b c", "ü" * 50):
            name = self.name("user")
            self.run_sql(f"CREATE USER {name} PASSWORD '{password}'")
            self.addCleanup(self.run_sql, f"DROP USER {name}")
            with self.subTest(password=password), connect(username=name, password=password) as db:
                with db.cursor() as cursor:
                    cursor.execute("SELECT current_user")
                    self.assertEqual(cursor.fetchall(), [(name,)])

    def test_who_am_i(self):
        self.assertEqual(self.value("SELECT current_user"), USER)

    def test_a_user_with_fewer_rights(self):
        name = self.name("user")
        self.run_sql(f"CREATE USER {name} PASSWORD 'it''s 100% sécret?'")
        self.addCleanup(self.run_sql, f"DROP USER IF EXISTS {name}")
        password = "it's 100% sécret?"
        with connect(username=name, password=password) as db:
            with db.cursor() as cursor:
                cursor.execute("SELECT current_user")
                self.assertEqual(cursor.fetchall(), [(name,)])
                with self.assertRaises(adbc.ProgrammingError) as caught:
                    cursor.execute("CREATE USER another PASSWORD 'x'")
                self.assertEqual(caught.exception.status_code.name, "UNAUTHORIZED")
            # A token is void once its user is gone, and so is the password.
            self.run_sql(f"DROP USER {name}")
            with self.assertRaises(adbc.ProgrammingError) as caught:
                db.adbc_get_table_types()
            self.assertEqual(caught.exception.status_code.name, "UNAUTHENTICATED")
        with self.assertRaises(adbc.ProgrammingError) as caught:
            connect(username=name, password=password).close()
        self.assertEqual(caught.exception.status_code.name, "UNAUTHENTICATED")


if __name__ == "__main__":
    unittest.main()
