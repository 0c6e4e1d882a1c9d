//! Plans as bytes and back; bytes that are no plans.

use std::sync::Arc;

use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::common::Result;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec,
};
use proptest::prelude::*;

use super::VolleyCodec;
use crate::segment_source::tests::fixture::Fixture;
use crate::segment_source::{SegmentSource, even_parts, scan_config};

fn to_bytes(plan: &Arc<dyn ExecutionPlan>) -> Vec<u8> {
    physical_plan_to_bytes_with_extension_codec(Arc::clone(plan), &VolleyCodec::default()).unwrap().to_vec()
}

fn from_bytes(bytes: &[u8], context: &SessionContext) -> Result<Arc<dyn ExecutionPlan>> {
    physical_plan_from_bytes_with_extension_codec(bytes, &context.task_ctx(), &VolleyCodec::default())
}

fn text(plan: &Arc<dyn ExecutionPlan>) -> String {
    displayable(plan.as_ref()).indent(true).to_string()
}

#[tokio::test]
async fn plans_survive() {
    for pushdown in [false, true] {
        let mut config = SessionConfig::new().with_target_partitions(3);
        config.options_mut().execution.parquet.pushdown_filters = pushdown;
        let fixture = Fixture::new().await;
        let fixture = Fixture::open(fixture.env, fixture.table, config, fixture.live).await;
        for sql in [
            "SELECT * FROM t WHERE id < 10 OR id > 154000 ORDER BY id",
            "SELECT name, price * 2 AS twice FROM t WHERE price > 240 AND name LIKE '%9' ORDER BY name, twice",
            "SELECT count(*), sum(price), min(name) FROM t WHERE price IS NOT NULL",
            "SELECT id FROM t ORDER BY id DESC LIMIT 5",
        ] {
            let plan = fixture.context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
            let decoded = from_bytes(&to_bytes(&plan), &fixture.context).unwrap();
            let (here, there) = (fixture.collect(plan).await, fixture.collect(decoded).await);
            let (here, there) = (pretty_format_batches(&here).unwrap(), pretty_format_batches(&there).unwrap());
            assert!(here.to_string() == there.to_string(), "{sql}\n{here}\n{there}");
        }
    }
}

#[allow(deprecated, reason = "its successor wants a context that the test has no use for")]
#[tokio::test]
async fn a_scan_carries_its_own_segments_only() {
    let fixture = Fixture::new().await;
    let groups = even_parts(&fixture.set, [1, 3], 2).unwrap();
    let options = fixture.context.copied_config();
    let limit = Some(5_000_000_000);
    let projection = [fixture.set.row_address_index(), 1];
    let config = scan_config(&fixture.set, &groups, Some(&projection), limit, options.options()).unwrap();
    let plan: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(config);
    let decoded = from_bytes(&to_bytes(&plan), &fixture.context).unwrap();
    assert_eq!(text(&plan), text(&decoded));
    let scan = decoded.downcast_ref::<DataSourceExec>().unwrap();
    let (config, source): (&FileScanConfig, &SegmentSource) = scan.downcast_to_file_source().unwrap();
    assert_eq!(config.limit, limit);
    assert_eq!(source.segments().iter().map(|segment| segment.ordinal).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(plan.partition_statistics(None).unwrap(), decoded.partition_statistics(None).unwrap());
    let (here, there) = (fixture.collect(plan).await, fixture.collect(decoded).await);
    assert_eq!(here, there);
}

#[tokio::test]
async fn other_bytes_are_refused() {
    let fixture = Fixture::new().await;
    let groups = even_parts(&fixture.set, fixture.ordinals(), 2).unwrap();
    let options = fixture.context.copied_config();
    let config = scan_config(&fixture.set, &groups, None, Some(3), options.options()).unwrap();
    let bytes = to_bytes(&(DataSourceExec::from_data_source(config) as Arc<dyn ExecutionPlan>));
    let edits = prop::collection::vec((0..bytes.len(), any::<u8>()), 1..4);
    let mut runner = proptest::test_runner::TestRunner::default();
    let cases = (edits, 0..bytes.len(), any::<bool>());
    runner
        .run(&cases, |(edits, end, cut)| {
            let mut bytes = bytes.clone();
            edits.into_iter().for_each(|(at, byte)| bytes[at] = byte);
            let end = if cut { end } else { bytes.len() };
            // Some changes are harmless; none may do more than fail.
            let _ = from_bytes(&bytes[..end], &fixture.context);
            Ok(())
        })
        .unwrap();
    let newer = super::Envelope { format: super::FORMAT + 1, node: None };
    let decoded = prost::Message::encode_to_vec(&newer);
    let task = fixture.context.task_ctx();
    let converter = datafusion_proto::physical_plan::DefaultPhysicalProtoConverter {};
    let codec = VolleyCodec::default();
    use datafusion_proto::physical_plan::PhysicalExtensionCodec;
    let error = codec.try_decode(&decoded, &[], &task, &converter).unwrap_err();
    assert!(error.to_string().contains("format 2"), "{error}");
}
