import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;

/**
 * The JDBC driver against a running server: VOLLEY_URI (grpc://host:port) and, if it has users, VOLLEY_USER and
 * VOLLEY_PASSWORD. Prints a line for each check; ends with exit code 1 if one failed.
 */
public final class ClientTests {
  private ClientTests() {}

  /** A connection to the server under test. */
  static Connection connect() throws SQLException {
    return DriverManager.getConnection(url(), properties());
  }

  /** What a connection needs to know: no encryption, and the user if there is one. */
  static Properties properties() {
    Properties properties = new Properties();
    properties.put("useEncryption", "false");
    String user = System.getenv("VOLLEY_USER");
    if (user != null) {
      properties.put("user", user);
      properties.put("password", System.getenv("VOLLEY_PASSWORD"));
    }
    return properties;
  }

  /** The server's address in the form of the driver. */
  static String url() {
    String uri = System.getenv("VOLLEY_URI");
    if (uri == null || !uri.startsWith("grpc://")) {
      throw new IllegalStateException("VOLLEY_URI has to name the server, such as grpc://127.0.0.1:32010");
    }
    return "jdbc:arrow-flight-sql://" + uri.substring("grpc://".length()) + "/";
  }

  /** A name nobody else uses, so that the checks can run again on the same server. */
  static String name(String kind) {
    return kind + "_" + Long.toHexString(System.nanoTime());
  }

  static void run(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  public static void main(String[] arguments) throws SQLException {
    Checks checks = new Checks();
    String driver;
    try (Connection connection = connect()) {
      driver = connection.getMetaData().getDriverVersion();
      System.out.println("JDBC driver " + driver + ", server " + connection.getMetaData().getDatabaseProductVersion());
    }
    ConnectionTests.run(checks);
    MetadataTests.run(checks);
    StatementTests.run(checks);
    TypeTests.run(checks);
    ParameterTests.run(checks);
    VectorTests.run(checks);
    // Threads of the driver's own would keep the program alive.
    System.exit(checks.summary("JDBC driver " + driver) ? 0 : 1);
  }
}
