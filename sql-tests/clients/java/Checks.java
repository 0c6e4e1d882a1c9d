import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;

/** Runs checks, prints PASS or FAIL for each, and counts. */
final class Checks {
  /** A check: it throws when something is wrong. */
  interface Body {
    void run() throws Exception;
  }

  private int passed;
  private int failed;

  void check(String name, Body body) {
    try {
      body.run();
      passed++;
      System.out.println("PASS " + name);
    } catch (Exception | AssertionError error) {
      failed++;
      System.out.println("FAIL " + name + ": " + error);
      for (StackTraceElement frame : error.getStackTrace()) {
        if (frame.getClassName().endsWith("Tests")) {
          System.out.println("       at " + frame);
        }
      }
    }
  }

  /** Prints the counts and tells whether nothing failed. */
  boolean summary(String of) {
    System.out.println(of + ": " + passed + " passed, " + failed + " failed");
    return failed == 0;
  }

  static void equal(Object expected, Object actual) {
    if (!Objects.deepEquals(expected, actual)) {
      throw new AssertionError("expected " + show(expected) + ", got " + show(actual));
    }
  }

  static void yes(boolean truth, String otherwise) {
    if (!truth) {
      throw new AssertionError(otherwise);
    }
  }

  /**
   * The body has to fail with the server's sentence in the error. It is an SQLException, or an exception of gRPC's that
   * the driver did not wrap.
   */
  static void fails(String sentence, Body body) throws Exception {
    try {
      body.run();
    } catch (SQLException | RuntimeException error) {
      for (Throwable cause = error; cause != null; cause = cause.getCause()) {
        if (cause.getMessage() != null && cause.getMessage().contains(sentence)) {
          return;
        }
      }
      throw new AssertionError("expected an error with \"" + sentence + "\", got " + error);
    }
    throw new AssertionError("expected an error with \"" + sentence + "\", got none");
  }

  /** The rows of a result, with its columns as the driver hands them out; closes it. */
  static List<List<Object>> rows(ResultSet result) throws SQLException {
    try (result) {
      List<List<Object>> rows = new ArrayList<>();
      int columns = result.getMetaData().getColumnCount();
      while (result.next()) {
        List<Object> row = new ArrayList<>();
        for (int i = 1; i <= columns; i++) {
          row.add(result.getObject(i));
        }
        rows.add(row);
      }
      return rows;
    }
  }

  /** One column of a result, as text; closes it. */
  static List<String> column(ResultSet result, String name) throws SQLException {
    try (result) {
      List<String> values = new ArrayList<>();
      while (result.next()) {
        values.add(result.getString(name));
      }
      return values;
    }
  }

  /** The names of the columns of a result. */
  static List<String> labels(ResultSetMetaData metadata) throws SQLException {
    List<String> names = new ArrayList<>();
    for (int i = 1; i <= metadata.getColumnCount(); i++) {
      names.add(metadata.getColumnLabel(i));
    }
    return names;
  }

  private static String show(Object value) {
    if (value == null) {
      return "null";
    }
    String text = Arrays.deepToString(new Object[] {value});
    return text + " (" + value.getClass().getSimpleName() + ")";
  }
}
