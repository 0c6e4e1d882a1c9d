use super::*;

#[test]
fn values_are_checked_and_normalised() {
    let mut settings = Settings::default();
    assert_eq!(settings.set("volley.vector_topk", "OFF").unwrap(), Effect::None);
    assert!(!settings.vector_topk());
    settings.set("volley.vector_topk", "true").unwrap();
    assert!(settings.vector_topk());
    settings.set("VOLLEY.memory_limit", "1.5GB").unwrap();
    assert_eq!(settings.memory_limit(), Some(3 << 29));
    for (name, value) in [
        ("volley.memory_limit", "1KB"),
        ("volley.memory_limit", "lots"),
        ("volley.memory_limit", "-1"),
        ("volley.batch_size", "0"),
        ("volley.batch_size", "1e3"),
        ("volley.statement_timeout", "soon"),
        ("volley.vector_topk", "maybe"),
        ("client_encoding", "latin1"),
        ("server_version", "17"),
    ] {
        let error = settings.set(name, value).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidValue, "{name} = {value}");
        assert!(error.to_string().contains(name), "{error}");
    }
    assert_eq!(settings.memory_limit(), Some(3 << 29), "a refused value changes nothing");
}

#[test]
fn unknown_names_get_the_nearest() {
    let error = Settings::default().set("volley.memry_limit", "1GB").unwrap_err();
    assert_eq!(
        error.to_string(),
        "setting \"volley.memry_limit\" does not exist; did you mean \"volley.memory_limit\"?"
    );
    assert_eq!(error.kind(), ErrorKind::UndefinedObject);
    assert!(Settings::default().get("nonsense_altogether").is_err());
}

#[test]
fn datafusion_follows() {
    let mut settings = Settings::default();
    let effect =
        |name: &str, value: &str| Effect::DataFusion { name: name.to_string(), value: Some(value.to_string()) };
    assert_eq!(
        settings.set("TimeZone", "Europe/Berlin").unwrap(),
        effect("datafusion.execution.time_zone", "Europe/Berlin")
    );
    assert_eq!(settings.set("volley.batch_size", "100").unwrap(), effect("datafusion.execution.batch_size", "100"));
    assert_eq!(settings.set("datafusion.x.y", "1").unwrap(), effect("datafusion.x.y", "1"));
    assert_eq!(settings.get("timezone").unwrap().as_deref(), Some("Europe/Berlin"));
    assert_eq!(settings.reset(Some("timezone")).unwrap(), [effect("datafusion.execution.time_zone", "UTC")]);
    assert_eq!(
        settings.reset(None).unwrap(),
        [
            Effect::DataFusion { name: "datafusion.x.y".to_string(), value: None },
            effect("datafusion.execution.batch_size", "8192")
        ]
    );
    assert_eq!(settings, Settings::default());
}

#[test]
fn timeouts_are_postgres_milliseconds_or_have_units() {
    let mut settings = Settings::default();
    assert_eq!(settings.statement_timeout(), None);
    for (text, expected) in [("1500", 1_500), ("2s", 2_000), ("1min", 60_000), ("250ms", 250)] {
        settings.set("statement_timeout", text).unwrap();
        assert_eq!(settings.statement_timeout(), Some(Duration::from_millis(expected)), "{text}");
    }
    settings.set("statement_timeout", "0").unwrap();
    assert_eq!(settings.statement_timeout(), None);
}

#[test]
fn defaults_are_values_that_could_be_set_and_the_table_is_sorted() {
    for setting in SETTINGS {
        if !matches!(setting.kind, SettingType::ReadOnly) {
            assert!(setting.kind.check(setting.name, setting.default).is_ok(), "{}", setting.name);
        }
        assert!(setting.description.ends_with('.'));
    }
    assert!(SETTINGS.is_sorted_by_key(|setting| setting.name));
}

#[test]
fn sizes() {
    for (text, bytes) in [("0", 0), ("17", 17), ("1kB", 1024), ("2 MiB", 2 << 20), ("3G", 3 << 30), ("0.5TB", 1 << 39)]
    {
        assert_eq!(parse_bytes(text), Some(bytes), "{text}");
    }
    for text in ["", "GB", "1XB", "1.2.3MB", "99999999999999999999GB", "1e9"] {
        assert_eq!(parse_bytes(text), None, "{text}");
    }
    assert_eq!(format_bytes(3 << 29), "1536MB");
    assert_eq!(format_bytes(1_000), "1000B");
}

#[test]
fn the_configuration_follows_or_nothing_changes() {
    let (mut settings, mut options) = (Settings::default(), datafusion::config::ConfigOptions::new());
    settings.set_in(&mut options, "volley.batch_size", "123").unwrap();
    assert_eq!(options.execution.batch_size.get(), 123);
    settings.set_in(&mut options, "TimeZone", "Europe/Berlin").unwrap();
    assert_eq!(options.execution.time_zone.as_deref(), Some("Europe/Berlin"));
    settings.set_in(&mut options, "volley.target_partitions", "3").unwrap();
    assert_eq!(options.execution.target_partitions, 3);

    let error = settings.set_in(&mut options, "datafusion.execution.batch_sise", "1").unwrap_err();
    assert!(error.to_string().contains("did you mean \"datafusion.execution.batch_size\""), "{error}");
    let error = settings.set_in(&mut options, "datafusion.execution.batch_size", "many").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidValue, "{error}");
    assert_eq!(settings.get("datafusion.execution.batch_size").unwrap(), None);

    settings.set_in(&mut options, "datafusion.execution.coalesce_batches", "false").unwrap();
    settings.reset_in(&mut options, None).unwrap();
    assert_eq!(options.execution.batch_size.get(), 8_192);
    assert!(options.execution.coalesce_batches);
    assert_eq!(settings, Settings::default());
}

#[test]
fn what_a_search_has_to_keep_to() {
    let mut settings = Settings::default();
    assert_eq!((settings.recall_target(), settings.filter_strategy()), (0.95, "auto"));
    assert_eq!((settings.auto_index(), settings.ef_search()), (true, None));
    for (name, value) in [
        ("volley.recall_target", "0.99"),
        ("volley.filter_strategy", "IN"),
        ("volley.auto_index", "off"),
        ("hnsw.ef_search", "100"),
        ("hnsw.iterative_scan", "relaxed_order"),
        ("maintenance_work_mem", "8GB"),
    ] {
        settings.set(name, value).unwrap();
    }
    assert_eq!((settings.recall_target(), settings.filter_strategy()), (0.99, "in"));
    assert_eq!((settings.auto_index(), settings.ef_search()), (false, Some(100)));
    for (name, value) in [
        ("volley.recall_target", "0"),
        ("volley.recall_target", "1.01"),
        ("volley.recall_target", "NaN"),
        ("volley.recall_target", "-0.5"),
        ("volley.recall_target", "95%"),
        ("volley.filter_strategy", "acorn"),
        ("hnsw.ef_search", "0"),
        ("hnsw.ef_search", "1001"),
    ] {
        assert_eq!(settings.set(name, value).unwrap_err().kind(), ErrorKind::InvalidValue, "{name} = {value}");
    }
    settings.set("hnsw.ef_search", "").unwrap();
    assert_eq!(settings.ef_search(), None);
    settings.set("volley.recall_target", "1").unwrap();
    assert_eq!(settings.recall_target(), 1.0);
}
