//! Scans as bytes.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::Partitioning;
use datafusion_proto::physical_plan::PhysicalPlanDecodeContext;
use datafusion_proto::physical_plan::from_proto::parse_protobuf_file_scan_config;
use datafusion_proto::physical_plan::to_proto::serialize_file_scan_config;
use datafusion_proto::protobuf::ParquetScanExecNode;

use super::messages::Scan;
use super::{Converter, encode_expr, malformed, segments};
use crate::segment_source::{SegmentSource, with_statistics};

/// A scan, with those segments of its set that its file groups name: a task that reads one segment does not carry the
/// deletion vectors of all.
pub(super) fn encode(config: &FileScanConfig, source: &SegmentSource, converter: Converter<'_>) -> Result<Scan> {
    let files = config.file_groups.iter().flat_map(|group| group.iter());
    let named = files.map(|file| &file.object_meta.location).collect::<HashSet<_>>();
    let limit = config.limit.map(|limit| limit as u64);
    let predicate = source.predicate().map(|predicate| encode_expr(&predicate, converter)).transpose()?;

    // Statistics are made again from the segments; and whoever slices file groups leaves the old partitioning behind.
    let bare = config.file_groups.iter().map(|group| {
        let files = group.iter().cloned().map(|mut file| {
            file.statistics = None;
            file
        });
        FileGroup::new(files.collect())
    });
    let partitioning = Partitioning::UnknownPartitioning(config.file_groups.len());
    let bare = FileScanConfigBuilder::from(config.clone())
        .with_file_groups(bare.collect())
        .with_output_partitioning(Some(partitioning))
        .with_limit(None)
        .build();
    let parquet = ParquetScanExecNode {
        base_conf: Some(serialize_file_scan_config(&bare, converter.codec, converter.proto)?),
        predicate,
        parquet_options: Some(source.options().try_into()?),
    };
    let segments = segments::encode(source.segments(), |handle| named.contains(&handle.path))?;
    Ok(Scan { parquet: Some(parquet), segments: Some(segments), limit })
}

pub(super) fn decode(message: &Scan, task: &TaskContext, converter: Converter<'_>) -> Result<FileScanConfig> {
    let parquet = message.parquet.as_ref().ok_or_else(|| malformed("a scan has no config"))?;
    let config = parquet.base_conf.as_ref().ok_or_else(|| malformed("a scan has no config"))?;
    let options = parquet.parquet_options.as_ref().ok_or_else(|| malformed("a scan has no options"))?;
    let segments = message.segments.as_ref().ok_or_else(|| malformed("a scan has no segments"))?;
    let set = segments::decode(segments, task)?;
    let mut source = SegmentSource::new(Arc::clone(&set), options.try_into()?);
    let context = PhysicalPlanDecodeContext::new(task, converter.codec);
    if let Some(predicate) = &parquet.predicate {
        let predicate = converter.proto.proto_to_physical_expr(predicate, set.scan_schema(), &context)?;
        source = source.with_predicate(predicate);
    }
    let config = parse_protobuf_file_scan_config(config, &context, converter.proto, Arc::new(source))?;
    let limit = message.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    with_statistics(FileScanConfigBuilder::from(config).with_limit(limit).build(), &set)
}
