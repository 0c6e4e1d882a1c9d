import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.Date;
import java.sql.ParameterMetaData;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.sql.Types;
import java.util.Arrays;
import java.util.List;

/** Prepared statements and their parameters. */
final class ParameterTests {
  private final Connection connection;
  private final String table;

  private ParameterTests(Connection connection, String table) {
    this.connection = connection;
    this.table = table;
  }

  static void run(Checks checks) {
    checks.check("parameters", () -> {
      try (Connection connection = ClientTests.connect()) {
        String table = ClientTests.name("t");
        ClientTests.run(connection, "CREATE TABLE " + table
            + " (id INT PRIMARY KEY, big BIGINT, number DOUBLE PRECISION, words TEXT, truth BOOLEAN, day DATE, moment TIMESTAMP(3), bytes BYTEA, exact NUMERIC(12, 3))");
        try {
          new ParameterTests(connection, table).all(checks);
        } finally {
          ClientTests.run(connection, "DROP TABLE " + table);
        }
      }
    });
  }

  private void all(Checks checks) {
    checks.check("parameter: every setter", this::setters);
    checks.check("parameter: NULL of every type", this::nulls);
    checks.check("parameter: a prepared query runs again and again", () -> {
      try (PreparedStatement statement = connection.prepareStatement("SELECT words FROM " + table + " WHERE id = ?")) {
        for (int i = 0; i < 10; i++) {
          statement.setInt(1, 1 + i % 2);
          List<List<Object>> rows = Checks.rows(statement.executeQuery());
          Checks.equal(1, rows.size());
          Checks.equal(i % 2 == 0 ? "naïve ☃" : null, rows.get(0).get(0));
        }
      }
    });
    checks.check("parameter: in every clause", this::clauses);
    checks.check("parameter: what the server says about them", () -> {
      try (PreparedStatement statement =
          connection.prepareStatement("SELECT id FROM " + table + " WHERE words = ? AND exact > ? AND day < ?")) {
        ParameterMetaData metadata = statement.getParameterMetaData();
        Checks.equal(3, metadata.getParameterCount());
        Checks.equal(Types.VARCHAR, metadata.getParameterType(1));
        Checks.equal(Types.DECIMAL, metadata.getParameterType(2));
        Checks.equal(Types.DATE, metadata.getParameterType(3));
        Checks.equal(List.of("id"), Checks.labels(statement.getMetaData()));
      }
    });
    checks.check("parameter: execute", () -> {
      try (PreparedStatement statement = connection.prepareStatement("DELETE FROM " + table + " WHERE id = ?")) {
        statement.setInt(1, 2);
        // The driver runs it as a query and calls its empty answer a result; once, all the same.
        statement.execute();
        statement.setInt(1, 2);
        Checks.equal(0, statement.executeUpdate());
      }
      try (PreparedStatement statement = connection.prepareStatement("SELECT ?::int + 1")) {
        statement.setInt(1, 41);
        Checks.equal(true, statement.execute());
        Checks.equal(List.of(List.of(42L)), Checks.rows(statement.getResultSet()));
      }
    });
    checks.check("parameter: batches", this::batches);
    checks.check("parameter: errors", this::errors);
  }

  private void setters() throws SQLException {
    Timestamp moment = Timestamp.valueOf("2024-02-29 12:34:56.123");
    try (PreparedStatement statement =
        connection.prepareStatement("INSERT INTO " + table + " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")) {
      statement.setInt(1, 1);
      statement.setLong(2, -9223372036854775807L);
      statement.setDouble(3, 0.1);
      statement.setString(4, "naïve ☃");
      statement.setBoolean(5, true);
      statement.setDate(6, Date.valueOf("2024-02-29"));
      statement.setTimestamp(7, moment);
      statement.setBytes(8, new byte[] {0, (byte) 0xff});
      statement.setBigDecimal(9, new BigDecimal("-123456789.125"));
      Checks.equal(1, statement.executeUpdate());
    }
    try (Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery("SELECT * FROM " + table + " WHERE id = 1")) {
      Checks.yes(row.next(), "no row");
      Checks.equal(-9223372036854775807L, row.getLong("big"));
      Checks.equal(0.1, row.getDouble("number"));
      Checks.equal("naïve ☃", row.getString("words"));
      Checks.equal(true, row.getBoolean("truth"));
      Checks.equal("2024-02-29", row.getDate("day").toString());
      Checks.equal(moment, row.getTimestamp("moment"));
      Checks.equal(new byte[] {0, (byte) 0xff}, row.getBytes("bytes"));
      Checks.equal(new BigDecimal("-123456789.125"), row.getBigDecimal("exact"));
    }
    for (String column : List.of("big", "number", "words", "truth", "day", "moment", "bytes", "exact")) {
      try (PreparedStatement statement =
          connection.prepareStatement("SELECT id FROM " + table + " WHERE " + column + " = ?")) {
        switch (column) {
          case "big" -> statement.setLong(1, -9223372036854775807L);
          case "number" -> statement.setDouble(1, 0.1);
          case "words" -> statement.setString(1, "naïve ☃");
          case "truth" -> statement.setBoolean(1, true);
          case "day" -> statement.setDate(1, Date.valueOf("2024-02-29"));
          case "moment" -> statement.setTimestamp(1, moment);
          case "bytes" -> statement.setBytes(1, new byte[] {0, (byte) 0xff});
          default -> statement.setBigDecimal(1, new BigDecimal("-123456789.125"));
        }
        List<List<Object>> rows = Checks.rows(statement.executeQuery());
        Checks.yes(rows.equals(List.of(List.of(1))), column + ": " + rows);
      }
    }
  }

  private void nulls() throws SQLException {
    int[] types = {Types.BIGINT, Types.DOUBLE, Types.VARCHAR, Types.BOOLEAN, Types.DATE, Types.TIMESTAMP,
        Types.VARBINARY, Types.DECIMAL};
    try (PreparedStatement statement =
        connection.prepareStatement("INSERT INTO " + table + " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")) {
      statement.setInt(1, 2);
      for (int i = 0; i < types.length; i++) {
        statement.setNull(i + 2, types[i]);
      }
      Checks.equal(1, statement.executeUpdate());
    }
    try (Statement statement = connection.createStatement()) {
      List<List<Object>> rows = Checks.rows(statement.executeQuery("SELECT * FROM " + table + " WHERE id = 2"));
      Checks.equal(List.of(Arrays.asList(2, null, null, null, null, null, null, null, null)), rows);
    }
  }

  private void clauses() throws SQLException {
    String sql = "SELECT value FROM generate_series(1, 100) "
        + "WHERE value BETWEEN ? AND ? ORDER BY value LIMIT ? OFFSET ?";
    try (PreparedStatement statement = connection.prepareStatement(sql)) {
      statement.setLong(1, 10);
      statement.setLong(2, 20);
      statement.setLong(3, 2);
      statement.setLong(4, 1);
      Checks.equal(List.of(List.of(11L), List.of(12L)), Checks.rows(statement.executeQuery()));
    }
    try (PreparedStatement statement =
        connection.prepareStatement("SELECT CASE WHEN ?::int > ?::int THEN upper(?) ELSE '?' END")) {
      statement.setInt(1, 2);
      statement.setInt(2, 1);
      statement.setString(3, "yes");
      Checks.equal(List.of(List.of("YES")), Checks.rows(statement.executeQuery()));
    }
  }

  private void batches() throws SQLException {
    try (PreparedStatement statement =
        connection.prepareStatement("INSERT INTO " + table + " (id, words) VALUES (?, ?)")) {
      for (int i = 100; i < 200; i++) {
        statement.setInt(1, i);
        statement.setString(2, "row " + i);
        statement.addBatch();
      }
      // The driver sends a batch as one update and knows the count of all of it.
      Checks.equal(100, Arrays.stream(statement.executeBatch()).sum());
    }
    try (Statement statement = connection.createStatement()) {
      Checks.equal(List.of(List.of(100L, "row 100", "row 199")), Checks.rows(statement.executeQuery(
          "SELECT count(*), min(words), max(words) FROM " + table + " WHERE id >= 100")));
    }
  }

  private void errors() throws Exception {
    try (PreparedStatement statement =
        connection.prepareStatement("INSERT INTO " + table + " (id, words) VALUES (?, ?)")) {
      for (int id : new int[] {500, 501, 100}) {
        statement.setInt(1, id);
        statement.setString(2, "again");
        statement.addBatch();
      }
      Checks.fails("duplicate key value violates primary key: (id)=(100)", statement::executeBatch);
    }
    try (Statement statement = connection.createStatement()) {
      Checks.equal(List.of(List.of(0L)),
          Checks.rows(statement.executeQuery("SELECT count(*) FROM " + table + " WHERE id >= 500")));
    }
    Checks.fails("syntax error", () -> connection.prepareStatement("SELECT FROM WHERE ?").close());
    Checks.fails("table \"nosuch\" does not exist",
        () -> connection.prepareStatement("SELECT * FROM nosuch WHERE id = ?").close());
  }
}
