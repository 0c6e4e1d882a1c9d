import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.ResultSet;
import java.sql.SQLFeatureNotSupportedException;
import java.sql.Types;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.TreeSet;

/** What DBeaver and its like ask when they open a connection and a tree of tables. */
final class MetadataTests {
  private final DatabaseMetaData metadata;
  private final String schema;

  private MetadataTests(DatabaseMetaData metadata, String schema) {
    this.metadata = metadata;
    this.schema = schema;
  }

  static void run(Checks checks) {
    checks.check("metadata", () -> {
      try (Connection connection = ClientTests.connect()) {
        String schema = ClientTests.name("app");
        ClientTests.run(connection, "CREATE SCHEMA " + schema);
        ClientTests.run(connection, "CREATE TABLE " + schema
            + ".d_cs (id BIGINT PRIMARY KEY, title TEXT NOT NULL, price NUMERIC(10, 2), v vector(3))");
        ClientTests.run(connection, "CREATE TABLE " + schema + ".docs (a INT)");
        ClientTests.run(connection, "CREATE VIEW " + schema + ".titles AS SELECT title FROM " + schema + ".d_cs");
        try {
          new MetadataTests(connection.getMetaData(), schema).all(checks);
        } finally {
          ClientTests.run(connection, "DROP SCHEMA " + schema + " CASCADE");
        }
      }
    });
  }

  private void all(Checks checks) {
    checks.check("metadata: product", () -> {
      Checks.equal("Volley", metadata.getDatabaseProductName());
      String version = metadata.getDatabaseProductVersion();
      Checks.yes(version.matches("\\d+\\.\\d+\\.\\d+.*"), version);
      Checks.equal("\"", metadata.getIdentifierQuoteString());
      Checks.equal(false, metadata.isReadOnly());
      Checks.equal(false, metadata.supportsTransactions());
    });
    checks.check("metadata: every question without arguments is answered", this::simpleQuestions);
    checks.check("metadata: lists of words", () -> {
      Checks.yes(list(metadata.getSQLKeywords()).contains("limit"), metadata.getSQLKeywords());
      Checks.yes(list(metadata.getNumericFunctions()).contains("abs"), metadata.getNumericFunctions());
      Checks.yes(list(metadata.getStringFunctions()).contains("lower"), metadata.getStringFunctions());
      Checks.yes(list(metadata.getTimeDateFunctions()).contains("date_trunc"), metadata.getTimeDateFunctions());
      Checks.yes(metadata.getSystemFunctions() != null, "no system functions");
    });
    checks.check("metadata: catalogs", () ->
        Checks.equal(List.of("volley"), Checks.column(metadata.getCatalogs(), "TABLE_CAT")));
    checks.check("metadata: schemas", () -> {
      List<String> names = Checks.column(metadata.getSchemas(), "TABLE_SCHEM");
      Checks.yes(names.containsAll(List.of("information_schema", "public", "volley", schema)), names.toString());
      Checks.equal(List.of("public"), Checks.column(metadata.getSchemas("volley", "pub%"), "TABLE_SCHEM"));
      Checks.equal(List.of(), Checks.column(metadata.getSchemas("volley", "nosuch"), "TABLE_SCHEM"));
    });
    checks.check("metadata: table types", () ->
        Checks.equal(new TreeSet<>(List.of("SYSTEM TABLE", "TABLE", "VIEW")),
            new TreeSet<>(Checks.column(metadata.getTableTypes(), "TABLE_TYPE"))));
    checks.check("metadata: tables", () -> {
      Checks.equal(List.of("d_cs", "docs", "titles"), tables(schema, "%"));
      Checks.equal(List.of("d_cs", "docs", "titles"), tables(schema, null));
      Checks.equal(List.of("d_cs", "docs"), tables(schema, "d_cs"));
      Checks.equal(List.of("d_cs"), tables(schema, "d\\_cs"));
      Checks.equal(List.of("titles"), tables(schema, "%", "VIEW"));
      Checks.equal(List.of("d_cs", "docs", "titles"), tables(schema, "%", "TABLE", "VIEW"));
      Checks.equal(List.of(), tables("nosuch", "%"));
      Checks.yes(tables(null, "%").contains("segments"), "no system tables without a schema");
      try (ResultSet result = metadata.getTables("volley", schema, "titles", null)) {
        Checks.yes(result.next(), "no row");
        Checks.equal("volley", result.getString("TABLE_CAT"));
        Checks.equal(schema, result.getString("TABLE_SCHEM"));
        Checks.equal("VIEW", result.getString("TABLE_TYPE"));
      }
    });
    checks.check("metadata: columns", this::columns);
    checks.check("metadata: keys and indexes", this::keys);
    checks.check("metadata: the rest of the tree", () -> {
      for (String method : List.of("getTypeInfo", "getClientInfoProperties")) {
        answered(DatabaseMetaData.class.getMethod(method));
      }
      Class<?> text = String.class;
      answered(DatabaseMetaData.class.getMethod("getIndexInfo", text, text, text, boolean.class, boolean.class),
          "volley", schema, "d_cs", false, true);
      for (String method : List.of("getProcedures", "getFunctions", "getTablePrivileges", "getSuperTables",
          "getVersionColumns")) {
        answered(DatabaseMetaData.class.getMethod(method, text, text, text), "volley", schema, "d_cs");
      }
    });
  }

  /** Calls what takes no arguments and gives no result set, as tools do to learn what they may send. */
  private void simpleQuestions() throws Exception {
    List<String> wrong = new ArrayList<>();
    for (Method method : DatabaseMetaData.class.getMethods()) {
      if (method.getParameterCount() == 0 && method.getReturnType() != ResultSet.class) {
        try {
          answered(method);
        } catch (AssertionError error) {
          wrong.add(error.getMessage());
        }
      }
    }
    Checks.equal(List.of(), wrong);
  }

  /** Calls a method; that the driver does not have it is no fault of the server. */
  private void answered(Method method, Object... arguments) throws Exception {
    try {
      Object answer = method.invoke(metadata, arguments);
      if (answer instanceof ResultSet result) {
        result.close();
      }
    } catch (InvocationTargetException error) {
      if (!(error.getCause() instanceof SQLFeatureNotSupportedException)
          && !(error.getCause() instanceof UnsupportedOperationException)) {
        throw new AssertionError(method.getName() + ": " + error.getCause());
      }
    }
  }

  private static List<String> list(String words) {
    return Arrays.stream(words.split(",")).map(word -> word.trim().toLowerCase()).toList();
  }

  private List<String> tables(String schema, String pattern, String... types) throws Exception {
    return Checks.column(
        metadata.getTables("volley", schema, pattern, types.length == 0 ? null : types), "TABLE_NAME");
  }

  private void columns() throws Exception {
    List<List<Object>> seen = new ArrayList<>();
    try (ResultSet result = metadata.getColumns("volley", schema, "d\\_cs", "%")) {
      while (result.next()) {
        seen.add(List.of(result.getString("COLUMN_NAME"), result.getInt("DATA_TYPE"), result.getInt("ORDINAL_POSITION"),
            result.getString("IS_NULLABLE")));
      }
    }
    Checks.equal(List.of(
        List.of("id", Types.BIGINT, 1, "NO"), List.of("title", Types.VARCHAR, 2, "NO"),
        List.of("price", Types.DECIMAL, 3, "YES"), List.of("v", Types.ARRAY, 4, "YES")), seen);
    try (ResultSet result = metadata.getColumns("volley", schema, "d\\_cs", "price")) {
      Checks.yes(result.next(), "no row");
      Checks.equal(10, result.getInt("COLUMN_SIZE"));
      Checks.equal(2, result.getInt("DECIMAL_DIGITS"));
      Checks.yes(!result.next(), "two rows");
    }
    try (ResultSet result = metadata.getColumns("volley", schema, "d\\_cs", "v")) {
      Checks.yes(result.next(), "no row");
      Checks.equal("VECTOR(3)", result.getString("TYPE_NAME"));
    }
  }

  private void keys() throws Exception {
    Checks.equal(List.of("id"), Checks.column(metadata.getPrimaryKeys("volley", schema, "d_cs"), "COLUMN_NAME"));
    Checks.equal(List.of(), Checks.column(metadata.getPrimaryKeys("volley", schema, "docs"), "COLUMN_NAME"));
    Checks.equal(List.of(), Checks.rows(metadata.getImportedKeys("volley", schema, "d_cs")));
    Checks.equal(List.of(), Checks.rows(metadata.getExportedKeys("volley", schema, "d_cs")));
    Checks.equal(List.of(),
        Checks.rows(metadata.getCrossReference("volley", schema, "d_cs", "volley", schema, "docs")));
  }
}
