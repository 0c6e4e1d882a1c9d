use super::*;
use crate::database::Database;
use crate::environments::memory_env;
use crate::ids::TableId;

fn view(sql: &str) -> CatalogEntry {
    CatalogEntry::View { sql: sql.into(), columns: vec!["a".into(), "größe".into()], search_path: "public".into() }
}

fn create(name: &str, entry: CatalogEntry) -> CatalogAction {
    CatalogAction::Create { schema: DEFAULT_SCHEMA.into(), name: name.into(), entry }
}

#[tokio::test]
async fn names_are_shared_and_survive() {
    let env = memory_env();
    let (a, b) = (Database::open(env.clone()).await.unwrap(), Database::open(env.clone()).await.unwrap());
    let id = TableId(env.new_ulid());
    assert_eq!(a.catalog().snapshot().await.unwrap().version.0, 0);
    a.catalog()
        .apply(|_| Ok(vec![create("t", CatalogEntry::Table { id }), create("v", view("SELECT 1"))]))
        .await
        .unwrap();
    let external = CatalogEntry::External { definition: "CREATE EXTERNAL TABLE e …".into() };
    b.catalog().apply(|_| Ok(vec![create("e", external.clone())])).await.unwrap();
    let names = a.catalog().snapshot().await.unwrap();
    assert_eq!(names.entry("public", "t"), Some(&CatalogEntry::Table { id }));
    assert_eq!(names.entry("public", "v"), Some(&view("SELECT 1")));
    assert_eq!(Database::open(env).await.unwrap().catalog().snapshot().await.unwrap(), names);
}

#[tokio::test]
async fn a_change_is_checked_against_the_newest_names() {
    let env = memory_env();
    let (a, b) = (Database::open(env.clone()).await.unwrap(), Database::open(env).await.unwrap());
    b.catalog().snapshot().await.unwrap();
    a.catalog().apply(|_| Ok(vec![create("v", view("SELECT 1"))])).await.unwrap();
    let error = b.catalog().apply(|_| Ok(vec![create("v", view("SELECT 2"))])).await.unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::DuplicateTable);
    let missing = CatalogAction::Drop { schema: "public".into(), name: "w".into() };
    assert_eq!(
        b.catalog().apply(|_| Ok(vec![missing.clone()])).await.unwrap_err().kind(),
        crate::ErrorKind::UndefinedTable
    );
    let foreign = CatalogAction::DropSchema { name: "no".into() };
    assert_eq!(
        b.catalog().apply(|_| Ok(vec![foreign.clone()])).await.unwrap_err().kind(),
        crate::ErrorKind::UndefinedSchema
    );
    // Nothing to do is no commit.
    let before = b.catalog().snapshot().await.unwrap().version;
    b.catalog().apply(|_| Ok(Vec::new())).await.unwrap();
    assert_eq!(b.catalog().snapshot().await.unwrap().version, before);
}

#[tokio::test]
async fn many_changes_from_two_processes_all_land() {
    let env = memory_env();
    let (a, b) = (Database::open(env.clone()).await.unwrap(), Database::open(env.clone()).await.unwrap());
    let change = |database: Database, prefix: &'static str| async move {
        for n in 0..80 {
            let name = format!("{prefix}{n}");
            database.catalog().apply(|_| Ok(vec![create(&name, view("SELECT 1"))])).await.unwrap();
        }
    };
    tokio::join!(change(a.clone(), "a"), change(b, "b"));
    let names = a.catalog().snapshot().await.unwrap();
    assert_eq!((names.version.0, names.schemas["public"].len()), (160, 160));
    // Opened from a checkpoint.
    assert_eq!(Database::open(env).await.unwrap().catalog().snapshot().await.unwrap(), names);
}

#[tokio::test]
async fn an_old_table_does_not_get_a_name() {
    let database = Database::open(memory_env()).await.unwrap();
    let old_ms = database.env().clock.now_ms() as u64 - 25 * 3600 * 1000;
    let id = TableId(ulid::Ulid::from_parts(old_ms, 1));
    let apply = database.catalog().apply(|_| Ok(vec![create("t", CatalogEntry::Table { id })]));
    assert_eq!(apply.await.unwrap_err().kind(), crate::ErrorKind::Conflict);
}

proptest::proptest! {
    #[test]
    fn mutated_bodies_do_not_panic(
        changes in proptest::collection::vec((0usize..400, proptest::prelude::any::<u8>()), 1..6),
        cut in 0usize..400,
    ) {
        let table = CatalogEntry::Table { id: TableId(ulid::Ulid::from_parts(1, 1)) };
        let actions = [
            CatalogAction::CreateSchema { name: "s".into() },
            create("t", table.clone()),
            create("v", view("SELECT 1")),
            CatalogAction::Replace { schema: "public".into(), name: "v".into(), entry: table },
            CatalogAction::Drop { schema: "public".into(), name: "v".into() },
            CatalogAction::DropSchema { name: "s".into() },
        ];
        let commit = proto::encode_commit(&actions);
        proptest::prop_assert_eq!(&proto::decode_commit(commit.clone().into()).unwrap()[..], &actions[..]);
        let schemas = [("public".to_owned(), [("v".to_owned(), view("SELECT 1"))].into())].into();
        let checkpoint = proto::encode_checkpoint(&schemas);
        proptest::prop_assert_eq!(proto::decode_checkpoint(checkpoint.clone().into()).unwrap(), schemas);
        for mut body in [commit, checkpoint] {
            for (at, to) in &changes {
                let at = at % body.len();
                body[at] = *to;
            }
            body.truncate(cut.max(1));
            let _ = proto::decode_commit(body.clone().into());
            let _ = proto::decode_checkpoint(body.into());
        }
    }
}
