import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.List;
import java.util.Properties;

/** Connections, what they remember, and what they refuse. */
final class ConnectionTests {
  private ConnectionTests() {}

  static void run(Checks checks) {
    checks.check("a connection is valid until it is closed", () -> {
      Connection connection = ClientTests.connect();
      Checks.yes(connection.isValid(5), "not valid");
      Checks.equal(true, connection.getAutoCommit());
      connection.close();
      Checks.yes(connection.isClosed(), "not closed");
    });
    checks.check("user and options in the URL", () -> {
      String user = System.getenv("VOLLEY_USER");
      String url = ClientTests.url() + "?useEncryption=false";
      if (user != null) {
        url += "&user=" + user + "&password=" + System.getenv("VOLLEY_PASSWORD").replace(" ", "%20");
      }
      try (Connection connection = DriverManager.getConnection(url);
          Statement statement = connection.createStatement()) {
        Checks.equal(List.of(List.of(1)), Checks.rows(statement.executeQuery("SELECT 1::int")));
      }
    });
    checks.check("the catalog as a property", () -> {
      Properties properties = ClientTests.properties();
      properties.put("catalog", "volley");
      Connection connection = DriverManager.getConnection(ClientTests.url(), properties);
      try (Statement statement = connection.createStatement()) {
        Checks.equal(List.of(List.of("volley")), Checks.rows(statement.executeQuery("SELECT current_database()")));
      }
      try {
        connection.close();
      } catch (SQLException error) {
        // The driver ends the session a second time, after it closed the channel.
        Checks.equal("Channel shutdown invoked", error.getMessage());
      }
      properties.put("catalog", "nosuch");
      Checks.fails("catalog", () -> DriverManager.getConnection(ClientTests.url(), properties).close());
    });
    checks.check("settings belong to the connection", () -> {
      try (Connection one = ClientTests.connect(); Connection two = ClientTests.connect()) {
        ClientTests.run(one, "SET volley.recall_target = 0.77");
        for (int i = 0; i < 3; i++) {
          Checks.equal("0.77", setting(one));
          Checks.equal("0.95", setting(two));
        }
      }
    });
    checks.check("a wrong password is refused", () -> {
      if (System.getenv("VOLLEY_USER") == null) {
        System.out.println("     (skipped: VOLLEY_USER is unset, the server has no users)");
        return;
      }
      Properties properties = ClientTests.properties();
      properties.put("password", "wrong");
      Checks.fails("password", () -> {
        try (Connection connection = DriverManager.getConnection(ClientTests.url(), properties);
            Statement statement = connection.createStatement()) {
          statement.executeQuery("SELECT 1").close();
        }
      });
    });
    checks.check("fifty connections, one after the other", () -> {
      for (int i = 0; i < 50; i++) {
        try (Connection connection = ClientTests.connect(); Statement statement = connection.createStatement()) {
          Checks.equal(List.of(List.of((long) i)), Checks.rows(statement.executeQuery("SELECT " + i + "::bigint")));
        }
      }
    });
  }

  private static String setting(Connection connection) throws Exception {
    try (Statement statement = connection.createStatement();
        ResultSet result = statement.executeQuery("SHOW volley.recall_target")) {
      result.next();
      return result.getString(1);
    }
  }
}
