import java.sql.Array;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.List;

/** Vectors as parameters: as an array whose length the driver checks, and as text. */
final class VectorTests {
  private final Connection connection;
  private final String table;

  private VectorTests(Connection connection, String table) {
    this.connection = connection;
    this.table = table;
  }

  static void run(Checks checks) {
    checks.check("vectors", () -> {
      try (Connection connection = ClientTests.connect()) {
        String table = ClientTests.name("t");
        ClientTests.run(connection, "CREATE TABLE " + table + " (id INT PRIMARY KEY, v vector(3))");
        ClientTests.run(connection, "INSERT INTO " + table
            + " VALUES (1, '[1,0,0]'), (2, '[0,1,0]'), (3, '[0.9,0.1,0]'), (4, NULL)");
        try {
          new VectorTests(connection, table).all(checks);
        } finally {
          ClientTests.run(connection, "DROP TABLE " + table);
        }
      }
    });
  }

  private void all(Checks checks) {
    checks.check("vector: setArray in a search", () -> {
      try (PreparedStatement statement = connection.prepareStatement(
          "SELECT id FROM " + table + " WHERE id < ? ORDER BY v <-> ? LIMIT 2")) {
        statement.setInt(1, 100);
        statement.setArray(2, array(0f, 1f, 0f));
        Checks.equal(List.of(List.of(2), List.of(3)), Checks.rows(statement.executeQuery()));
        statement.setArray(2, array(1f, 0f, 0f));
        Checks.equal(List.of(List.of(1), List.of(3)), Checks.rows(statement.executeQuery()));
      }
    });
    for (String operator : List.of("<->", "<=>", "<#>", "<+>")) {
      checks.check("vector: operator " + operator, () -> {
        try (PreparedStatement statement =
            connection.prepareStatement("SELECT id FROM " + table + " ORDER BY v " + operator + " ? LIMIT 1")) {
          statement.setArray(1, array(0f, 1f, 0f));
          Checks.equal(List.of(List.of(2)), Checks.rows(statement.executeQuery()));
        }
      });
    }
    checks.check("vector: as text", () -> {
      for (String place : List.of("CAST(? AS VARCHAR)::vector", "CAST(? AS TEXT)::vector(3)")) {
        try (PreparedStatement statement =
            connection.prepareStatement("SELECT id FROM " + table + " ORDER BY v <=> " + place + " LIMIT 1")) {
          statement.setString(1, "[0, 1, 0]");
          Checks.equal(List.of(List.of(2)), Checks.rows(statement.executeQuery()));
        }
      }
    });
    checks.check("vector: insert", () -> {
      try (PreparedStatement statement = connection.prepareStatement("INSERT INTO " + table + " VALUES (?, ?)")) {
        statement.setInt(1, 10);
        statement.setArray(2, array(1.5f, 2.5f, 3.5f));
        Checks.equal(1, statement.executeUpdate());
      }
      try (Statement statement = connection.createStatement()) {
        Checks.equal(List.of(List.of("[1.5,2.5,3.5]")),
            Checks.rows(statement.executeQuery("SELECT v::text FROM " + table + " WHERE id = 10")));
      }
    });
    checks.check("vector: a batch", this::batch);
    checks.check("vector: a wrong length is refused", this::wrongLength);
    checks.check("vector: wrong values are refused", () -> {
      for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY}) {
        try (PreparedStatement statement =
            connection.prepareStatement("SELECT id FROM " + table + " ORDER BY v <-> ? LIMIT 1")) {
          statement.setArray(1, array(0f, 1f, bad));
          String sentence = (Float.isNaN(bad) ? "NaN" : "inf") + " is not allowed in a vector";
          Checks.fails(sentence, () -> Checks.rows(statement.executeQuery()));
        }
      }
      works();
    });
  }

  private Array array(Float... values) throws SQLException {
    return connection.createArrayOf("FLOAT", values);
  }

  private void works() throws SQLException {
    try (Statement statement = connection.createStatement()) {
      Checks.equal(List.of(List.of(7)), Checks.rows(statement.executeQuery("SELECT 7::int")));
    }
  }

  private void batch() throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement("INSERT INTO " + table + " VALUES (?, ?)")) {
      for (int i = 0; i < 50; i++) {
        statement.setInt(1, 1000 + i);
        statement.setArray(2, array((float) i, 0f, 1f));
        statement.addBatch();
      }
      int count = 0;
      for (int one : statement.executeBatch()) {
        count += one;
      }
      Checks.equal(50, count);
    }
    try (Statement statement = connection.createStatement()) {
      Checks.equal(List.of(List.of("[49,0,1]")),
          Checks.rows(statement.executeQuery("SELECT v::text FROM " + table + " WHERE id = 1049")));
    }
  }

  /** Neither cut off nor filled up: the driver or the server says that the length is wrong. */
  private void wrongLength() throws Exception {
    for (Float[] values : new Float[][] {{0f, 1f}, {0f, 1f, 0f, 0f}, {}}) {
      for (String sql : List.of(
          "SELECT id FROM " + table + " ORDER BY v <-> ? LIMIT 1",
          "INSERT INTO " + table + " (v, id) VALUES (?, 77)")) {
        boolean refused = false;
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
          statement.setArray(1, connection.createArrayOf("FLOAT", values));
          if (statement.execute()) {
            Checks.rows(statement.getResultSet());
          }
        } catch (SQLException | RuntimeException error) {
          refused = true;
        }
        Checks.yes(refused, values.length + " elements were taken by " + sql);
        works();
      }
    }
    try (Statement statement = connection.createStatement()) {
      Checks.equal(List.of(), Checks.rows(statement.executeQuery("SELECT id FROM " + table + " WHERE id = 77")));
    }
  }
}
