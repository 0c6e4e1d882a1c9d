import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Types;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** Plain statements: queries, changes, errors, cancelling. */
final class StatementTests {
  private static final String SLOW =
      "SELECT count(*) FROM generate_series(1, 300000) a, generate_series(1, 300000) b";

  private final Connection connection;
  private final String table;

  private StatementTests(Connection connection, String table) {
    this.connection = connection;
    this.table = table;
  }

  static void run(Checks checks) {
    checks.check("statements", () -> {
      try (Connection connection = ClientTests.connect()) {
        String table = ClientTests.name("t");
        ClientTests.run(connection, "CREATE TABLE " + table + " (id INT PRIMARY KEY, words TEXT NOT NULL)");
        try {
          new StatementTests(connection, table).all(checks);
        } finally {
          ClientTests.run(connection, "DROP TABLE " + table);
        }
      }
    });
  }

  private void all(Checks checks) {
    checks.check("statement: changes and their counts", this::changes);
    checks.check("statement: execute tells results from counts", this::execute);
    checks.check("statement: columns of a result", this::columns);
    checks.check("statement: an empty result has its columns", () -> {
      String sql = "SELECT * FROM " + table + " WHERE id < 0";
      try (PreparedStatement statement = connection.prepareStatement(sql);
          ResultSet result = statement.executeQuery()) {
        Checks.equal(List.of("id", "words"), Checks.labels(result.getMetaData()));
        Checks.equal(Types.INTEGER, result.getMetaData().getColumnType(1));
        Checks.yes(!result.next(), "a row");
      }
      // Without a row the driver lists the columns of a plain statement twice: those it prepared and those it fetched.
      try (Statement statement = connection.createStatement(); ResultSet result = statement.executeQuery(sql)) {
        Checks.equal(List.of("id", "words"), Checks.labels(result.getMetaData()).subList(0, 2));
        Checks.yes(!result.next(), "a row");
      }
    });
    checks.check("statement: setMaxRows", () -> {
      try (Statement statement = connection.createStatement()) {
        statement.setMaxRows(5);
        Checks.equal(5, Checks.rows(statement.executeQuery("SELECT value FROM generate_series(1, 20000)")).size());
      }
      try (Statement statement = connection.createStatement()) {
        Checks.equal(20000, Checks.rows(statement.executeQuery("SELECT value FROM generate_series(1, 20000)")).size());
      }
    });
    checks.check("statement: two results, read in turn", this::interleaved);
    checks.check("statement: a result that is closed half way", () -> {
      for (int i = 0; i < 3; i++) {
        try (Statement statement = connection.createStatement();
            ResultSet result = statement.executeQuery(
                "SELECT value, repeat('x', 200) AS words FROM generate_series(1, 1000000)")) {
          Checks.yes(result.next(), "no row");
        }
        works();
      }
    });
    checks.check("statement: cancel", this::cancel);
    checks.check("statement: errors", this::errors);
    checks.check("statement: the schema and the catalog", () -> {
      try (Statement statement = connection.createStatement()) {
        Checks.equal(List.of(List.of("volley", "public")),
            Checks.rows(statement.executeQuery("SELECT current_database(), current_schema()")));
      }
    });
  }

  private void changes() throws SQLException {
    try (Statement statement = connection.createStatement()) {
      Checks.equal(3, statement.executeUpdate("INSERT INTO " + table + " VALUES (1, 'a'), (2, 'b'), (3, 'c')"));
      Checks.equal(2, statement.executeUpdate("DELETE FROM " + table + " WHERE id > 1"));
      Checks.equal(0, statement.executeUpdate("DELETE FROM " + table + " WHERE id > 1"));
      Checks.equal(2L, statement.executeLargeUpdate("INSERT INTO " + table + " VALUES (2, 'b'), (3, 'c')"));
      String other = ClientTests.name("t");
      Checks.yes(statement.executeUpdate("CREATE TABLE " + other + " (a INT)") <= 0, "DDL counts rows");
      Checks.yes(statement.executeUpdate("DROP TABLE " + other) <= 0, "DDL counts rows");
      Checks.equal(List.of(List.of(1, "a"), List.of(2, "b"), List.of(3, "c")),
          Checks.rows(statement.executeQuery("SELECT * FROM " + table + " ORDER BY id")));
    }
  }

  private void execute() throws SQLException {
    try (Statement statement = connection.createStatement()) {
      Checks.equal(true, statement.execute("SELECT 1::int AS one;"));
      Checks.equal(List.of(List.of(1)), Checks.rows(statement.getResultSet()));
      Checks.equal(false, statement.execute("INSERT INTO " + table + " VALUES (10, 'x')"));
      Checks.equal(1, statement.getUpdateCount());
      Checks.equal(false, statement.execute("DELETE FROM " + table + " WHERE id = 10"));
      Checks.equal(1, statement.getUpdateCount());
      Checks.equal(false, statement.execute("SET volley.recall_target = 0.9"));
    }
  }

  private void columns() throws SQLException {
    try (Statement statement = connection.createStatement();
        ResultSet result = statement.executeQuery(
            "SELECT 1::int AS \"An int\", 'x' AS words, 1.5::numeric(5, 2) AS number, true AS truth, "
                + "DATE '2024-02-29' AS day, TIMESTAMP '2024-02-29 12:00:00' AS moment, X'00' AS bytes")) {
      ResultSetMetaData metadata = result.getMetaData();
      Checks.equal(List.of("An int", "words", "number", "truth", "day", "moment", "bytes"), Checks.labels(metadata));
      int[] types = {Types.INTEGER, Types.VARCHAR, Types.DECIMAL, Types.BOOLEAN, Types.DATE, Types.TIMESTAMP,
          Types.VARBINARY};
      for (int i = 0; i < types.length; i++) {
        Checks.equal(types[i], metadata.getColumnType(i + 1));
      }
      Checks.equal(5, metadata.getPrecision(3));
      Checks.equal(2, metadata.getScale(3));
    }
  }

  private void interleaved() throws SQLException {
    String sql = "SELECT value FROM generate_series(1, 20000) ORDER BY value";
    try (Statement one = connection.createStatement(); Statement two = connection.createStatement();
        ResultSet first = one.executeQuery(sql); ResultSet second = two.executeQuery(sql)) {
      for (long i = 1; i <= 20000; i++) {
        Checks.yes(first.next() && second.next(), "ended early");
        Checks.equal(i, first.getLong(1));
        Checks.equal(i, second.getLong(1));
      }
      Checks.yes(!first.next() && !second.next(), "did not end");
    }
  }

  private void works() throws SQLException {
    try (Statement statement = connection.createStatement()) {
      Checks.equal(List.of(List.of(7)), Checks.rows(statement.executeQuery("SELECT 7::int")));
    }
  }

  private void cancel() throws Exception {
    try (Statement statement = connection.createStatement()) {
      Thread canceller = new Thread(() -> {
        try {
          TimeUnit.MILLISECONDS.sleep(700);
          statement.cancel();
        } catch (Exception error) {
          System.out.println("     cancel: " + error);
        }
      });
      long started = System.nanoTime();
      canceller.start();
      boolean failed = false;
      try (ResultSet result = statement.executeQuery(SLOW)) {
        result.next();
      } catch (SQLException error) {
        failed = true;
      }
      canceller.join();
      Checks.yes(failed, "the query ended without an error");
      long seconds = TimeUnit.NANOSECONDS.toSeconds(System.nanoTime() - started);
      Checks.yes(seconds < 5, "it took " + seconds + " seconds");
    }
    works();
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(5);
    while (running()) {
      Checks.yes(System.nanoTime() < deadline, "the query is still running on the server");
      TimeUnit.MILLISECONDS.sleep(100);
    }
  }

  /** Whether the slow query is among those that the server works on. */
  private boolean running() throws SQLException {
    try (Statement statement = connection.createStatement()) {
      return !Checks.rows(statement.executeQuery("SELECT statement FROM volley.queries "
          + "WHERE statement LIKE '%generate_series(1, 300000)%' AND statement NOT LIKE '%volley.queries%'")).isEmpty();
    }
  }

  private void errors() throws Exception {
    String[][] cases = {
      {"SELEC 1", "syntax error at line 1, column 1"},
      {"SELECT * FROM nosuch", "table \"nosuch\" does not exist"},
      {"SELECT wrods FROM " + table, "column \"wrods\" does not exist; did you mean \"words\"?"},
      {"SELECT 1 / 0", "division by zero"},
      {"SELECT 'abc'::int", "invalid input for type integer: 'abc'"},
      {"INSERT INTO " + table + " VALUES (1, 'again')", "duplicate key value violates primary key: (id)=(1)"},
      {"INSERT INTO " + table + " VALUES (99, NULL)", "null value in column \"words\""},
      {"CREATE TABLE " + table + " (id INT)", "exists already"},
      {"UPDATE " + table + " SET id = 1", "UPDATE is not supported yet"},
    };
    for (String[] one : cases) {
      try (Statement statement = connection.createStatement()) {
        Checks.fails(one[1], () -> {
          if (statement.execute(one[0])) {
            Checks.rows(statement.getResultSet());
          }
        });
      }
      works();
    }
    try (Statement statement = connection.createStatement()) {
      Checks.equal(List.of(List.of(3L)), Checks.rows(statement.executeQuery("SELECT count(*) FROM " + table)));
    }
  }
}
