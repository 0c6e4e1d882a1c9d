//! Actions of other nodes, called.

use std::time::Duration;

use arrow_flight::Action;
use bytes::Bytes;
use prost::Message;
use tonic::{Code, Request, Status};

use super::heartbeat::{HelloReply, decoded};
use super::member::{Member, NodeClient, NodeDescription, NodeId};
use super::messages::actions;

/// Who is there answers a hello within that.
pub(crate) const HELLO_TIMEOUT: Duration = Duration::from_secs(3);

/// Calls an action of a node and waits for its answer; as long as it takes without a time limit.
pub(crate) async fn act(
    mut client: NodeClient,
    kind: &str,
    body: Bytes,
    timeout: Option<Duration>,
) -> Result<Bytes, Status> {
    let mut request = Request::new(Action { r#type: kind.to_owned(), body });
    if let Some(timeout) = timeout {
        request.set_timeout(timeout);
    }
    let calling = async {
        let mut answer = client.do_action(request).await?.into_inner();
        let result = answer.message().await?;
        Ok(result.ok_or_else(|| Status::internal("the node did not answer the action"))?.body)
    };
    match timeout {
        // The server may be unable to tell that the time is over.
        Some(timeout) => {
            let late = |_| Status::unavailable(format!("it did not answer within {} s", timeout.as_secs()));
            tokio::time::timeout(timeout, calling).await.map_err(late)?
        }
        None => calling.await,
    }
}

/// Asks a node who it is.
pub(crate) async fn hello(client: NodeClient) -> Result<NodeDescription, Status> {
    introduced_to(client, None).await
}

/// Asks a node who it is, and whether it finds the mark of the node that asks in its store.
async fn introduced_to(client: NodeClient, by: Option<NodeId>) -> Result<NodeDescription, Status> {
    let body = by.map_or_else(Bytes::new, |id| Bytes::copy_from_slice(&id.0.to_bytes()));
    let answer = act(client, actions::HELLO, body, Some(HELLO_TIMEOUT)).await?;
    let node = decoded::<HelloReply>(&answer)?.node;
    node.ok_or_else(|| Status::internal("the node did not say who it is"))?.description()
}

/// Whether a node can be reached, is the run that it was, and works on the store in which the node that asks left its mark.
pub(crate) async fn greet(member: &Member, by: NodeId) -> Result<(), String> {
    let met = introduced_to(member.client(), Some(by)).await;
    let met = met.map_err(|status| match status.code() {
        Code::FailedPrecondition => status.message().to_owned(),
        _ => format!("it cannot be called: {}", status.message()),
    })?;
    match met.id == member.id() {
        true => Ok(()),
        false => Err(format!("{} answers in its place at {}", met.name, member.description.address)),
    }
}

/// The answer to a hello.
pub(crate) fn introduced(node: &NodeDescription) -> Bytes {
    HelloReply { node: Some(node.into()) }.encode_to_vec().into()
}
