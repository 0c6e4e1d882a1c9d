import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.sql.Array;
import java.sql.Connection;
import java.sql.Date;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.util.Arrays;
import java.util.TimeZone;

/** Every type, by its own getter, as text and as an object; and its NULL. */
final class TypeTests {
  private static final String TABLE_COLUMNS =
      "id BIGINT PRIMARY KEY, truth BOOLEAN, tiny TINYINT, small SMALLINT, int INTEGER, big BIGINT, "
          + "unsigned BIGINT UNSIGNED, single REAL, double DOUBLE PRECISION, exact NUMERIC(12, 3), words TEXT, "
          + "bytes BYTEA, day DATE, clock TIME, moment TIMESTAMP, moment3 TIMESTAMP(3), moment6 TIMESTAMP(6), "
          + "zoned TIMESTAMP(6) WITH TIME ZONE, span INTERVAL, document JSON, v vector(3), ints INTEGER[], "
          + "texts TEXT[]";
  private static final String VALUES =
      "1, true, -128, -32768, 2147483647, -9223372036854775807, 18446744073709551615, 0.5, 0.1, '-123456789.125', "
          + "'naïve ☃', X'00ff41', '2024-02-29', '12:34:56.789', '2024-02-29 12:34:56.123456789', "
          + "'2024-02-29 12:34:56.123', '2024-02-29 12:34:56.123456', '2024-02-29 12:34:56+02', "
          + "'1 year 2 months 3 days 4 hours', '{\"a\": 1}', '[1, -2.5, 3]', ARRAY[1, NULL, 3], ARRAY['a', 'b']";

  private final ResultSet row;

  private TypeTests(ResultSet row) {
    this.row = row;
  }

  static void run(Checks checks) {
    // Times without a zone become java.sql objects in the zone of the program.
    TimeZone.setDefault(TimeZone.getTimeZone("UTC"));
    checks.check("types", () -> {
      try (Connection connection = ClientTests.connect(); Statement statement = connection.createStatement()) {
        String table = ClientTests.name("t");
        statement.executeUpdate("CREATE TABLE " + table + " (" + TABLE_COLUMNS + ")");
        statement.executeUpdate("INSERT INTO " + table + " VALUES (" + VALUES + ")");
        statement.executeUpdate("INSERT INTO " + table + " (id) VALUES (2)");
        try (ResultSet row = statement.executeQuery("SELECT * FROM " + table + " ORDER BY id")) {
          Checks.yes(row.next(), "no row");
          TypeTests tests = new TypeTests(row);
          tests.numbers(checks);
          tests.textsAndBytes(checks);
          tests.times(checks);
          tests.lists(checks);
          Checks.yes(row.next(), "no second row");
          tests.nulls(checks);
          Checks.yes(!row.next(), "a third row");
        } finally {
          ClientTests.run(connection, "DROP TABLE " + table);
        }
      }
    });
  }

  private void numbers(Checks checks) {
    checks.check("type: boolean", () -> {
      Checks.equal(true, row.getBoolean("truth"));
      Checks.equal(Boolean.TRUE, row.getObject("truth"));
      Checks.equal("true", row.getString("truth"));
    });
    checks.check("type: whole numbers", () -> {
      Checks.equal((byte) -128, row.getByte("tiny"));
      Checks.equal((short) -32768, row.getShort("small"));
      Checks.equal(2147483647, row.getInt("int"));
      Checks.equal(2147483647, row.getObject("int"));
      Checks.equal("2147483647", row.getString("int"));
      Checks.equal(-9223372036854775807L, row.getLong("big"));
      Checks.equal(-9223372036854775807L, row.getObject("big"));
      Checks.equal(1L, row.getObject(1));
      Checks.equal("18446744073709551615", row.getString("unsigned"));
    });
    checks.check("type: real and double precision", () -> {
      Checks.equal(0.5f, row.getFloat("single"));
      Checks.equal(0.1, row.getDouble("double"));
      Checks.equal(0.1, row.getObject("double"));
      Checks.equal("0.1", row.getString("double"));
    });
    checks.check("type: numeric", () -> {
      Checks.equal(new BigDecimal("-123456789.125"), row.getBigDecimal("exact"));
      Checks.equal(new BigDecimal("-123456789.125"), row.getObject("exact"));
      Checks.equal("-123456789.125", row.getString("exact"));
    });
  }

  private void textsAndBytes(Checks checks) {
    checks.check("type: text and json", () -> {
      Checks.equal("naïve ☃", row.getString("words"));
      Checks.equal("naïve ☃", row.getObject("words"));
      Checks.equal("{\"a\": 1}", row.getString("document"));
    });
    checks.check("type: bytea", () -> {
      byte[] bytes = {0, (byte) 0xff, 'A'};
      Checks.equal(bytes, row.getBytes("bytes"));
      Checks.equal(bytes, row.getObject("bytes"));
      Checks.equal(3, row.getBinaryStream("bytes").readAllBytes().length);
      Checks.equal("naïve ☃", new String(row.getBytes("words"), StandardCharsets.UTF_8));
    });
  }

  private void times(Checks checks) {
    checks.check("type: date and time", () -> {
      Checks.equal(Date.valueOf("2024-02-29"), row.getDate("day"));
      Checks.equal("2024-02-29", row.getString("day"));
      Checks.equal("12:34:56.789", row.getTime("clock").toString());
      Checks.equal("12:34:56.789", row.getString("clock"));
    });
    checks.check("type: timestamp", () -> {
      Checks.equal(Timestamp.valueOf("2024-02-29 12:34:56.123456789"), row.getTimestamp("moment"));
      Checks.equal(Timestamp.valueOf("2024-02-29 12:34:56.123"), row.getTimestamp("moment3"));
      Checks.equal(Timestamp.valueOf("2024-02-29 12:34:56.123456"), row.getTimestamp("moment6"));
      Checks.equal(Timestamp.valueOf("2024-02-29 12:34:56.123456"), row.getObject("moment6"));
    });
    checks.check("type: timestamp with time zone", () ->
        Checks.equal(1709202896000L, row.getTimestamp("zoned").getTime()));
    checks.check("type: interval", () -> Checks.equal("P14M3DT4H", row.getString("span")));
  }

  private void lists(Checks checks) {
    checks.check("type: vector", () -> {
      Array array = row.getArray("v");
      Checks.equal("[1.0, -2.5, 3.0]", Arrays.toString((Object[]) array.getArray()));
      Checks.yes(((Object[]) array.getArray())[0] instanceof Float, "not a Float");
      Checks.yes(row.getString("v").replace(".0", "").replace(" ", "").equals("[1,-2.5,3]"), row.getString("v"));
    });
    checks.check("type: arrays", () -> {
      Checks.equal("[1, null, 3]", Arrays.toString((Object[]) row.getArray("ints").getArray()));
      Checks.equal("[a, b]", Arrays.toString((Object[]) row.getArray("texts").getArray()));
    });
  }

  private void nulls(Checks checks) {
    checks.check("type: NULL of every type", () -> {
      for (int i = 2; i <= row.getMetaData().getColumnCount(); i++) {
        String column = row.getMetaData().getColumnLabel(i);
        // The driver has no object for a timestamp with time zone.
        if (!column.equals("zoned")) {
          Checks.yes(row.getObject(i) == null, column + " is not null as an object");
          Checks.yes(row.wasNull(), column + " was not null as an object");
        }
        Checks.yes(row.getString(i) == null, column + " is not null as text");
        Checks.yes(row.wasNull(), column + " was not null as text");
      }
      Checks.equal(0, row.getInt("int"));
      Checks.yes(row.wasNull(), "int was not null");
      Checks.equal(0.0, row.getDouble("double"));
      Checks.yes(row.wasNull(), "double was not null");
      noObject();
    });
  }

  private void noObject() throws SQLException {
    Checks.yes(row.getBytes("bytes") == null, "bytes");
    Checks.yes(row.getDate("day") == null, "day");
    Checks.yes(row.getTimestamp("moment") == null, "moment");
    Checks.yes(row.getBigDecimal("exact") == null, "exact");
    Checks.yes(row.getArray("v") == null, "v");
  }
}
