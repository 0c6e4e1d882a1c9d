use super::*;
use crate::database::Database;
use crate::environments::memory_env;
use crate::ids::{FieldId, TableId};
use crate::index_definition::IndexDefinition;

fn view(sql: &str) -> CatalogEntry {
    CatalogEntry::View { sql: sql.into(), columns: vec!["a".into(), "größe".into()], search_path: "public".into() }
}

fn index(table: TableId, metric: &str) -> CatalogEntry {
    let parameters = [("m", "16"), ("metric", metric)].map(|(name, value)| (name.into(), value.into()));
    let definition =
        IndexDefinition { method: "hnsw".into(), columns: vec![FieldId(2)], parameters: parameters.into() };
    CatalogEntry::Index { table, definition }
}

fn create(name: &str, entry: CatalogEntry) -> CatalogAction {
    CatalogAction::Create { schema: DEFAULT_SCHEMA.into(), name: name.into(), entry }
}

fn user(verifier: Option<&str>, is_superuser: bool) -> User {
    User { verifier: verifier.map(str::to_owned), is_superuser }
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
async fn indexes_live_and_die_with_their_table() {
    let env = memory_env();
    let database = Database::open(env.clone()).await.unwrap();
    let catalog = database.catalog();
    let (t, u) = (TableId(env.new_ulid()), TableId(env.new_ulid()));
    let orphan = catalog.apply(|_| Ok(vec![create("i", index(t, "l2"))])).await.unwrap_err();
    assert_eq!(orphan.kind(), crate::ErrorKind::UndefinedTable);
    let in_s = |name: &str, entry| CatalogAction::Create { schema: "s".into(), name: name.into(), entry };
    let actions = [
        create("t", CatalogEntry::Table { id: t }),
        create("i", index(t, "l2")),
        create("j", index(t, "cosine")),
        CatalogAction::CreateSchema { name: "s".into() },
        in_s("u", CatalogEntry::Table { id: u }),
        in_s("i", index(u, "ip")),
        create("of_u", index(u, "l1")),
    ];
    let names = catalog.apply(|_| Ok(actions.to_vec())).await.unwrap();
    let of = |table| names.indexes(table).map(|(schema, name, _)| format!("{schema}.{name}")).collect::<Vec<_>>();
    assert_eq!((of(t), of(u)), (vec!["public.i".into(), "public.j".into()], vec!["public.of_u".into(), "s.i".into()]));
    // The names of an index and of a table are the same sort of names.
    let taken = catalog.apply(|_| Ok(vec![create("i", view("SELECT 1"))])).await.unwrap_err();
    assert_eq!(taken.kind(), crate::ErrorKind::DuplicateTable);
    let drop = |schema: &str, name: &str| CatalogAction::Drop { schema: schema.into(), name: name.into() };
    let names = catalog.apply(|_| Ok(vec![drop("public", "j"), drop("public", "t")])).await.unwrap();
    assert_eq!(names.schemas["public"].keys().collect::<Vec<_>>(), ["of_u"]);
    let names = catalog.apply(|_| Ok(vec![CatalogAction::DropSchema { name: "s".into() }])).await.unwrap();
    assert_eq!((names.schemas.len(), names.schemas["public"].len()), (1, 0));
    assert_eq!(Database::open(env).await.unwrap().catalog().snapshot().await.unwrap(), names);
}

#[tokio::test]
async fn users_are_created_altered_and_dropped() {
    let env = memory_env();
    let database = Database::open(env.clone()).await.unwrap();
    let catalog = database.catalog();
    assert!(catalog.snapshot().await.unwrap().users.is_empty());
    let create = |name: &str| CatalogAction::CreateUser { name: name.into(), user: user(Some("$argon2id$1"), true) };
    catalog.apply(|_| Ok(vec![create("anna"), create("ben")])).await.unwrap();
    let taken = catalog.apply(|_| Ok(vec![create("anna")])).await.unwrap_err();
    assert_eq!(taken.kind(), crate::ErrorKind::DuplicateObject);
    let alter = |name: &str| CatalogAction::AlterUser { name: name.into(), user: user(None, false) };
    let drop = |name: &str| CatalogAction::DropUser { name: name.into() };
    for missing in [alter("carl"), drop("carl")] {
        let error = catalog.apply(|_| Ok(vec![missing.clone()])).await.unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::UndefinedObject);
    }
    let names = catalog.apply(|_| Ok(vec![alter("anna"), drop("ben")])).await.unwrap();
    assert_eq!(names.users, [("anna".to_owned(), user(None, false))].into());
    // Enough changes for a checkpoint, from which the next process reads.
    for n in 0..2 * crate::log::CHECKPOINT_EVERY {
        catalog.apply(|_| Ok(vec![create(&format!("user{n}"))])).await.unwrap();
    }
    let names = catalog.snapshot().await.unwrap();
    assert_eq!(Database::open(env).await.unwrap().catalog().snapshot().await.unwrap(), names);
    assert_eq!(names.users.len(), 1 + 2 * crate::log::CHECKPOINT_EVERY as usize);
}

#[test]
fn a_log_without_users_reads_as_ever() {
    // As it was written before there were users: one action, then a checkpoint of one schema.
    let commit = [0x0a, 0x03, 0x0a, 0x01, b's'];
    let actions = proto::decode_commit(commit.to_vec().into()).unwrap();
    assert_eq!(actions, [CatalogAction::CreateSchema { name: "s".into() }]);
    let checkpoint = [0x0a, 0x01, b's'];
    let (schemas, users) = proto::decode_checkpoint(checkpoint.to_vec().into()).unwrap();
    assert_eq!((schemas.len(), users.len()), (1, 0));
}

#[test]
fn verifiers_are_never_shown() {
    let action = CatalogAction::CreateUser { name: "anna".into(), user: user(Some("$argon2id$secret"), true) };
    let shown = format!("{action:?}");
    assert!(shown.contains("anna") && !shown.contains("secret"), "{shown}");
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
            create("i", index(TableId(ulid::Ulid::from_parts(1, 1)), "größer")),
            CatalogAction::Replace { schema: "public".into(), name: "v".into(), entry: table.clone() },
            CatalogAction::Drop { schema: "public".into(), name: "v".into() },
            CatalogAction::DropSchema { name: "s".into() },
            CatalogAction::CreateUser { name: "anna".into(), user: user(Some("$argon2id$…"), true) },
            CatalogAction::AlterUser { name: "anna".into(), user: user(None, false) },
            CatalogAction::DropUser { name: "anna".into() },
        ];
        let commit = proto::encode_commit(&actions);
        proptest::prop_assert_eq!(&proto::decode_commit(commit.clone().into()).unwrap()[..], &actions[..]);
        let names = [("v", view("SELECT 1")), ("t", table), ("i", index(TableId(ulid::Ulid::nil()), "l2"))];
        let names = names.map(|(name, entry)| (name.to_owned(), entry));
        let schemas = [("public".to_owned(), names.into())].into();
        let users = [("anna".to_owned(), user(Some("$argon2id$…"), true)), ("zoë".to_owned(), user(None, false))].into();
        let checkpoint = proto::encode_checkpoint(&schemas, &users);
        proptest::prop_assert_eq!(proto::decode_checkpoint(checkpoint.clone().into()).unwrap(), (schemas, users));
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
