//! A Ballista scheduler and an executor in this process.

use std::collections::HashMap;
use std::sync::Arc;

use ballista_core::extension::{SessionConfigExt, SessionStateExt};
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::{BallistaCodec, BallistaLogicalExtensionCodec, BallistaPhysicalExtensionCodec};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::{Result, TableReference, internal_datafusion_err};
use datafusion::execution::{SessionStateBuilder, TaskContext};
use datafusion::logical_expr::{Extension, LogicalPlan};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_proto::logical_plan::LogicalExtensionCodec;
use volley_executor::codec::VolleyCodec;

use crate::tables::Tables;

/// Logical plans name tables; both sides know the same ones.
#[derive(Debug)]
struct TableNames(HashMap<&'static str, Arc<dyn TableProvider>>);

impl LogicalExtensionCodec for TableNames {
    fn try_decode(&self, buf: &[u8], inputs: &[LogicalPlan], ctx: &TaskContext) -> Result<Extension> {
        BallistaLogicalExtensionCodec::default().try_decode(buf, inputs, ctx)
    }

    fn try_encode(&self, node: &Extension, buf: &mut Vec<u8>) -> Result<()> {
        BallistaLogicalExtensionCodec::default().try_encode(node, buf)
    }

    fn try_decode_table_provider(
        &self,
        buf: &[u8],
        _table_ref: &TableReference,
        _schema: SchemaRef,
        _ctx: &TaskContext,
    ) -> Result<Arc<dyn TableProvider>> {
        let name = std::str::from_utf8(buf).map_err(|error| internal_datafusion_err!("{error}"))?;
        self.0.get(name).cloned().ok_or_else(|| internal_datafusion_err!("no table {name}"))
    }

    fn try_encode_table_provider(
        &self,
        table_ref: &TableReference,
        _node: Arc<dyn TableProvider>,
        buf: &mut Vec<u8>,
    ) -> Result<()> {
        buf.extend_from_slice(table_ref.table().as_bytes());
        Ok(())
    }
}

/// A running cluster.
pub(crate) struct Cluster {
    url: String,
    config: SessionConfig,
}

impl Cluster {
    pub(crate) async fn start(tables: &Tables) -> Self {
        let codec = VolleyCodec::around(Arc::new(BallistaPhysicalExtensionCodec::default()));
        let names = TableNames(tables.providers().clone());
        let config = SessionConfig::new_with_ballista()
            .with_ballista_physical_extension_codec(Arc::new(codec))
            .with_ballista_logical_extension_codec(Arc::new(names))
            .with_extension(tables.storage());
        let state = tables.state(config.clone());

        // The client's settings decide how a job is planned; storage and codecs come from the process.
        let (of_scheduler, produced) = (state.clone(), config.clone());
        let address = ballista_scheduler::standalone::new_standalone_scheduler_with_builder(
            Arc::new(move |config| {
                Ok(SessionStateBuilder::new_from_existing(of_scheduler.clone()).with_config(config).build())
            }),
            Arc::new(move || produced.clone()),
            BallistaCodec::new(config.ballista_logical_extension_codec(), config.ballista_physical_extension_codec()),
        );
        let url = format!("http://localhost:{}", address.await.unwrap().port());
        let scheduler = SchedulerGrpcClient::connect(url.clone()).await.unwrap();
        ballista_executor::new_standalone_executor_from_state(scheduler, 4, &state).await.unwrap();
        Self { url, config }
    }

    /// A client's session.
    pub(crate) fn context(
        &self,
        tables: &Tables,
        adaptive: bool,
        partitions: usize,
        per_task: usize,
    ) -> SessionContext {
        let config = self
            .config
            .clone()
            .with_ballista_adaptive_query_planner(adaptive)
            .with_target_partitions(partitions)
            .set_usize("ballista.scheduler.max_partitions_per_task", per_task);
        tables.register(tables.state(config).upgrade_for_ballista(self.url.clone()).unwrap())
    }
}
