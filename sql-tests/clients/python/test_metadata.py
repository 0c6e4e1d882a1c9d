"""What tools ask about the server and its tables."""

import json
import unittest

import adbc_driver_manager as adbc
import pyarrow as pa

from common import ClientTest, connect, vector_type


class Metadata(ClientTest):
    def setUp(self):
        super().setUp()
        self.schema = self.name("app")
        self.run_sql(f"CREATE SCHEMA {self.schema}")
        self.addCleanup(self.run_sql, f"DROP SCHEMA {self.schema} CASCADE")
        self.run_sql(f"CREATE TABLE {self.schema}.d_cs (id BIGINT PRIMARY KEY, title TEXT NOT NULL, v vector(3))")
        self.run_sql(f"CREATE TABLE {self.schema}.docs (a INT, b_c REAL)")
        self.run_sql(f"CREATE TABLE {self.schema}.\"Mixed Case\" (x INT)")
        self.run_sql(f"CREATE VIEW {self.schema}.titles AS SELECT title FROM {self.schema}.d_cs")

    def objects(self, **filters):
        return self.db.adbc_get_objects(**filters).read_all().to_pylist()

    def tables(self, **filters):
        """Pairs of name and type of this test's tables."""
        [catalog] = self.objects(depth="tables", db_schema_filter=self.schema, **filters)
        self.assertEqual(catalog["catalog_name"], "volley")
        return [(table["table_name"], table["table_type"])
                for schema in catalog["catalog_db_schemas"] if schema["db_schema_name"] == self.schema
                for table in schema["db_schema_tables"]]

    def test_info(self):
        info = self.db.adbc_get_info()
        self.assertEqual(info["vendor_name"], "Volley")
        self.assertRegex(info["vendor_version"], r"^\d+\.\d+\.\d+")
        self.assertRegex(info["vendor_arrow_version"], r"^\d+")
        self.assertEqual(info["driver_name"], "ADBC Flight SQL Driver - Go")

    def test_catalogs(self):
        [catalog] = self.objects(depth="catalogs")
        self.assertEqual(catalog["catalog_name"], "volley")
        self.assertIsNone(catalog["catalog_db_schemas"])
        self.assertEqual(self.objects(depth="catalogs", catalog_filter="nosuch"), [])

    def test_schemas(self):
        [catalog] = self.objects(depth="db_schemas")
        names = [schema["db_schema_name"] for schema in catalog["catalog_db_schemas"]]
        self.assertEqual(sorted(names), names)
        self.assertLessEqual({"information_schema", "public", "volley", self.schema}, set(names))
        self.assertEqual({schema["db_schema_tables"] for schema in catalog["catalog_db_schemas"]}, {None})
        [catalog] = self.objects(depth="db_schemas", db_schema_filter="pub%")
        self.assertEqual([schema["db_schema_name"] for schema in catalog["catalog_db_schemas"]], ["public"])

    def test_tables(self):
        self.assertEqual(self.tables(),
                         [("Mixed Case", "TABLE"), ("d_cs", "TABLE"), ("docs", "TABLE"), ("titles", "VIEW")])

    def test_patterns(self):
        self.assertEqual(self.tables(table_name_filter="d%"), [("d_cs", "TABLE"), ("docs", "TABLE")])
        self.assertEqual(self.tables(table_name_filter="d_cs"), [("d_cs", "TABLE"), ("docs", "TABLE")])
        self.assertEqual(self.tables(table_name_filter="doc_"), [("docs", "TABLE")])
        self.assertEqual(self.tables(table_name_filter="%s"),
                         [("d_cs", "TABLE"), ("docs", "TABLE"), ("titles", "VIEW")])
        self.assertEqual(self.tables(table_name_filter="Mixed%"), [("Mixed Case", "TABLE")])
        self.assertEqual(self.tables(table_types_filter=["VIEW"]), [("titles", "VIEW")])
        self.assertEqual(self.tables(table_types_filter=["TABLE", "VIEW"], table_name_filter="%t%"),
                         [("titles", "VIEW")])

    def test_columns(self):
        [catalog] = self.objects(depth="columns", db_schema_filter=self.schema, table_name_filter="d%")
        [schema] = [s for s in catalog["catalog_db_schemas"] if s["db_schema_name"] == self.schema]
        columns = {table["table_name"]: [(c["column_name"], c["ordinal_position"]) for c in table["table_columns"]]
                   for table in schema["db_schema_tables"]}
        self.assertEqual(columns, {"d_cs": [("id", 1), ("title", 2), ("v", 3)], "docs": [("a", 1), ("b_c", 2)]})
        # Of XDBC's columns the driver knows the type only.
        vector = schema["db_schema_tables"][0]["table_columns"][2]
        self.assertEqual(vector["xdbc_type_name"], "VECTOR(3)")
        [catalog] = self.objects(depth="all", db_schema_filter=self.schema, column_name_filter="b_c")
        found = [c["column_name"] for s in catalog["catalog_db_schemas"] for t in s["db_schema_tables"] or []
                 for c in t["table_columns"] or []]
        self.assertEqual(found, ["b_c"])

    def test_keys(self):
        """The driver asks the server for keys and takes 'none' for an answer."""
        [catalog] = self.objects(depth="all", db_schema_filter=self.schema, table_name_filter="docs")
        [schema] = catalog["catalog_db_schemas"]
        self.assertIn(schema["db_schema_tables"][0]["table_constraints"], (None, []))

    def test_table_schema(self):
        """A `_` in the name of a table is no pattern: both of these names match "d_cs"."""
        schema = self.db.adbc_get_table_schema("d_cs", db_schema_filter=self.schema)
        self.assertEqual([(f.name, f.type, f.nullable) for f in schema],
                         [("id", pa.int64(), False), ("title", pa.string(), False), ("v", vector_type(3), True)])
        schema = self.db.adbc_get_table_schema("docs", db_schema_filter=self.schema, catalog_filter="volley")
        self.assertEqual([(f.name, f.type) for f in schema], [("a", pa.int32()), ("b_c", pa.float32())])
        schema = self.db.adbc_get_table_schema("Mixed Case", db_schema_filter=self.schema)
        self.assertEqual(schema.names, ["x"])
        # The driver's own words: it asks for a list of tables and gets an empty one.
        self.fails("NOT_FOUND", "No table found", self.db.adbc_get_table_schema, "nosuch")

    def test_table_types(self):
        self.assertEqual(sorted(self.db.adbc_get_table_types()), ["SYSTEM TABLE", "TABLE", "VIEW"])

    def test_information_schema(self):
        self.assertEqual(
            self.query("SELECT column_name, is_nullable FROM information_schema.columns WHERE table_schema = ? "
                       "AND table_name = 'd_cs' ORDER BY ordinal_position", (self.schema,)),
            [("id", "NO"), ("title", "NO"), ("v", "YES")])


class Session(ClientTest):
    """Settings belong to a connection; clients without cookies have to keep theirs as well."""

    def schema(self):
        name = self.name("app")
        self.run_sql(f"CREATE SCHEMA {name}")
        self.addCleanup(self.run_sql, f"DROP SCHEMA {name} CASCADE")
        return name

    def test_current_catalog(self):
        self.assertEqual(self.db.adbc_current_catalog, "volley")
        self.db.adbc_current_catalog = "volley"
        self.assertEqual(self.db.adbc_current_catalog, "volley")
        with self.assertRaises(adbc.Error):
            self.db.adbc_current_catalog = "nosuch"
        self.assertEqual(self.db.adbc_current_catalog, "volley")

    def test_current_schema(self):
        self.assertEqual(self.db.adbc_current_db_schema, "public")
        name = self.schema()
        self.db.adbc_current_db_schema = name
        self.assertEqual(self.db.adbc_current_db_schema, name)
        self.assertEqual(self.value("SELECT current_schema()"), name)
        self.run_sql("CREATE TABLE here (id INT)")
        self.assertEqual(self.value(f"SELECT count(*) FROM {name}.here"), 0)
        # As `SET search_path` does, the option takes a schema that may come later.
        self.db.adbc_current_db_schema = "nosuch"
        self.assertEqual(self.db.adbc_current_db_schema, "nosuch")
        self.fails("NOT_FOUND", 'schema "nosuch" does not exist', self.run_sql, "CREATE TABLE here (id INT)")

    def test_set_is_the_same_as_the_option(self):
        name = self.schema()
        self.run_sql(f"SET search_path = {name}")
        self.assertEqual(self.db.adbc_current_db_schema, name)

    def test_settings_stay_and_are_nobody_elses(self):
        for options in ({}, {"adbc.flight.sql.rpc.with_cookie_middleware": "true"}):
            with self.subTest(options=options), connect(**options) as one, connect(**options) as two:
                with one.cursor() as cursor:
                    cursor.execute("SET volley.recall_target = 0.77")
                    cursor.execute("SHOW volley.recall_target")
                    self.assertEqual(cursor.fetchall(), [("0.77",)])
                with two.cursor() as cursor:
                    cursor.execute("SHOW volley.recall_target")
                    self.assertEqual(cursor.fetchall(), [("0.95",)])
                with one.cursor() as cursor:
                    cursor.execute("SHOW volley.recall_target")
                    self.assertEqual(cursor.fetchall(), [("0.77",)])

    def test_prepare_and_execute_by_sql(self):
        self.run_sql("PREPARE plus (INT, INT) AS SELECT $1 + $2")
        self.assertEqual(self.query("EXECUTE plus(1, 2)"), [(3,)])
        self.run_sql("DEALLOCATE plus")

    def test_session_options(self):
        """Settings are session options, too."""
        option = "adbc.flight.sql.session.option."
        handle = self.db.adbc_connection
        handle.set_options(**{option + "volley.recall_target": "0.8"})
        self.assertEqual(handle.get_option(option + "volley.recall_target"), "0.8")
        self.assertEqual(self.value("SHOW volley.recall_target"), "0.8")
        options = json.loads(handle.get_option("adbc.flight.sql.session.options"))
        self.assertEqual(options["volley.recall_target"], "0.8")
        with self.assertRaises(adbc.Error):
            handle.set_options(**{option + "volley.no_such_setting": "1"})
        with self.assertRaises(adbc.Error):
            handle.set_options(**{option + "volley.recall_target": "7"})
        self.assertEqual(self.value("SHOW volley.recall_target"), "0.8")


if __name__ == "__main__":
    unittest.main()
