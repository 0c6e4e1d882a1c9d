//! The simulated object store, as one process reaches it.

use super::world::{Object, State, Weather, World};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

const DAY_MS: u64 = 24 * 3600 * 1000;

#[derive(Debug)]
pub(super) struct SimStore {
    pub(super) world: Arc<World>,
    pub(super) process: usize,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    /// Refused; nothing happened.
    Refused,
    /// It happened, but the reply got lost.
    ReplyLost,
    /// "Already exists", although nothing happened (S3's 409).
    ExistsForNothing,
    /// It happened, and a retry inside the client met it.
    MetItself,
    /// No reply for so long; then it happens.
    Late(u64),
}

impl SimStore {
    /// Decides a request's fate, and whether its process stalls before or after it.
    fn fate(&self, writes: bool, commits: bool) -> (Fate, u64, bool) {
        let process = self.process;
        self.world.with(|state| {
            let latency_ms = 1 + state.random(20);
            match state.weather() {
                Weather::Calm => return (Fate::Done, latency_ms, false),
                Weather::Unreliable => return (unreliable(state, writes), latency_ms, false),
                Weather::Anything => {}
            }
            match state.random(1000) {
                0..3 => {
                    let ms = 30_000 + state.random(3 * 3600 * 1000);
                    state.freeze(process, ms);
                }
                3..6 => {
                    let ms = DAY_MS + state.random(6 * DAY_MS);
                    state.freeze(process, ms);
                }
                6..11 => {
                    let ms = 5_000 + state.random(180_000);
                    state.cut_off(process, ms);
                }
                11..60 if commits => {
                    let ms = DAY_MS + state.random(6 * DAY_MS);
                    state.freeze(process, ms);
                }
                _ => {}
            }
            let sent_before_freeze = state.random(2) == 0;
            if state.is_cut_off(process) {
                let fate = if writes && state.random(2) == 0 { Fate::ReplyLost } else { Fate::Refused };
                return (fate, latency_ms, sent_before_freeze);
            }
            let fate = match state.random(1000) {
                0..15 => Fate::Refused,
                15..40 if writes => Fate::ReplyLost,
                40..60 if writes => Fate::ExistsForNothing,
                60..80 if writes => Fate::MetItself,
                80..100 if writes => Fate::Late(1 + state.random(120_000)),
                _ => Fate::Done,
            };
            (fate, latency_ms, sent_before_freeze)
        })
    }

    /// Sends a request: `land` happens or not, and the reply comes or not, as fate wills.
    async fn request<T: Send + 'static>(
        &self,
        verb: &'static str,
        create: bool,
        path: &Path,
        land: impl FnOnce(&mut State) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        // The worst moment to fall asleep for days is between the last look at the log and the commit.
        let commits = verb == "put" && path.as_ref().contains("/log/");
        let (fate, latency_ms, sent_before_freeze) = self.fate(matches!(verb, "put" | "delete"), commits);
        // A frozen process may have sent its request, or may send it when it thaws.
        let sender = (!sent_before_freeze).then_some(self.process);
        self.world.sleep(sender, latency_ms).await;
        let reply = match fate {
            Fate::Done => self.world.with(land),
            Fate::Refused => Err(unavailable()),
            Fate::ReplyLost => {
                let _ = self.world.with(land);
                Err(unavailable())
            }
            Fate::ExistsForNothing if create => Err(exists(path)),
            Fate::ExistsForNothing => Err(unavailable()),
            Fate::MetItself if create => {
                let _ = self.world.with(land);
                Err(exists(path))
            }
            Fate::MetItself => self.world.with(land),
            Fate::Late(late_ms) => {
                self.world.later(late_ms, move |state| drop(land(state)));
                let patience_ms = self.world.random(60_000);
                self.world.sleep(Some(self.process), patience_ms).await;
                Err(unavailable())
            }
        };
        self.world.trace(|| format!("{} {verb} {path} {fate:?}: {}", self.process, verdict(&reply)));
        self.world.sleep(Some(self.process), 0).await;
        reply
    }
}

/// The fate of a request to a store that is always there and rarely to be trusted: of writes, 20 % lose their reply and 10 %
/// conflict with nobody.
fn unreliable(state: &mut State, writes: bool) -> Fate {
    match state.random(1000) {
        0..200 if writes => Fate::ReplyLost,
        200..300 if writes => Fate::ExistsForNothing,
        300..330 if writes => Fate::MetItself,
        330..360 if writes => Fate::Late(1 + state.random(20_000)),
        360..380 => Fate::Refused,
        _ => Fate::Done,
    }
}

fn verdict<T>(reply: &Result<T>) -> String {
    reply.as_ref().map_or_else(|error| error.to_string(), |_| "ok".to_owned())
}

fn unavailable() -> Error {
    Error::Generic { store: "simulation", source: "503 or no reply".into() }
}

fn exists(path: &Path) -> Error {
    Error::AlreadyExists { path: path.to_string(), source: "already exists".into() }
}

fn meta(path: &Path, object: &Object) -> ObjectMeta {
    ObjectMeta {
        location: path.clone(),
        last_modified: (UNIX_EPOCH + Duration::from_millis(object.modified_ms.max(0) as u64)).into(),
        size: object.bytes.len() as u64,
        e_tag: None,
        version: None,
    }
}

fn put(state: &mut State, path: Path, bytes: Bytes, create: bool) -> Result<PutResult> {
    if create && state.objects.contains_key(&path) {
        return Err(exists(&path));
    }
    let modified_ms = state.now_ms();
    state.objects.insert(path, Object { bytes, modified_ms });
    Ok(PutResult { e_tag: None, version: None })
}

impl std::fmt::Display for SimStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the simulated store of process {}", self.process)
    }
}

#[async_trait]
impl ObjectStore for SimStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let (path, bytes) = (location.clone(), Bytes::from(payload));
        let create = options.mode == PutMode::Create;
        self.request("put", create, location, move |state| put(state, path, bytes, create)).await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(Error::NotSupported { source: "no large files in the simulation".into() })
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let path = location.clone();
        let find = move |state: &mut State| match state.objects.get(&path) {
            Some(object) => Ok((meta(&path, object), object.bytes.clone())),
            None => Err(Error::NotFound { path: path.to_string(), source: "not found".into() }),
        };
        let (meta, bytes) = self.request("get", false, location, find).await?;
        let range = match &options.range {
            Some(range) => {
                range.as_range(meta.size).map_err(|e| Error::Generic { store: "simulation", source: e.into() })?
            }
            None => 0..meta.size,
        };
        let part = bytes.slice(range.start as usize..range.end as usize);
        let payload = GetResultPayload::Stream(stream::iter([Ok(part)]).boxed());
        Ok(GetResult { payload, meta, range, attributes: Default::default() })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = SimStore { world: self.world.clone(), process: self.process };
        locations
            .then(move |path| {
                let store = SimStore { world: store.world.clone(), process: store.process };
                async move {
                    let path = path?;
                    let gone = path.clone();
                    let delete = move |state: &mut State| {
                        state.objects.remove(&gone);
                        Ok(())
                    };
                    store.request("delete", false, &path, delete).await.map(|()| path)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = prefix.cloned().unwrap_or_default();
        let store = SimStore { world: self.world.clone(), process: self.process };
        async move {
            let under = prefix.clone();
            let find = move |state: &mut State| {
                let found = state.objects.iter().filter(|(path, _)| path.prefix_matches(&under) && **path != under);
                Ok(found.map(|(path, object)| Ok(meta(path, object))).collect::<Vec<_>>())
            };
            let reply = store.request("list", false, &prefix, find).await;
            // A slow list is old when it arrives.
            let slow_ms = if store.world.chance(100) { store.world.random(20_000) } else { 0 };
            store.world.sleep(Some(store.process), slow_ms).await;
            stream::iter(reply.unwrap_or_else(|error| vec![Err(error)]))
        }
        .flatten_stream()
        .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = prefix.cloned().unwrap_or_default();
        let under = prefix.clone();
        let find = move |state: &mut State| {
            let mut common_prefixes = BTreeSet::new();
            let mut objects = Vec::new();
            for (path, object) in &state.objects {
                let Some(mut rest) = path.prefix_match(&under) else { continue };
                match (rest.next(), rest.next()) {
                    (Some(part), Some(_)) => drop(common_prefixes.insert(under.clone().join(part))),
                    (Some(_), None) => objects.push(meta(path, object)),
                    _ => {}
                }
            }
            Ok(ListResult { common_prefixes: common_prefixes.into_iter().collect(), objects })
        };
        self.request("list", false, &prefix, find).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(Error::NotSupported { source: "nothing is copied in the simulation".into() })
    }
}
