//! A disk in memory that forgets whatever was not synced when its power is cut.
//!
//! Every file and every directory has two states: what the running system sees, and what would be there after a power
//! cut. A sync copies the first into the second. This is stricter than any journalling file system, where one sync
//! often carries others with it; what survives here survives anywhere.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{Content, DirEntry, Disk, DiskFile, FileKind, Metadata, Opened};

const ROOT: u64 = 0;

/// What a power cut leaves of unsynced writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerCut {
    /// Nothing.
    DropAll,
    /// Some, by seed: each unsynced name is there or not, each unsynced file is torn at a random place.
    Random(u64),
}

/// Deliberate faults, to prove that tests would find them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sabotage {
    /// Syncs of files do nothing and report success.
    pub ignore_file_syncs: bool,
    /// Syncs of directories do nothing and report success.
    pub ignore_dir_syncs: bool,
    /// Syncs of files fail.
    pub fail_file_syncs: bool,
    /// Syncs of directories fail.
    pub fail_dir_syncs: bool,
    /// There are no hard links.
    pub no_hard_links: bool,
}

#[derive(Debug, Clone)]
enum Node {
    File { content: Arc<Vec<u8>>, durable: Arc<Vec<u8>>, modified: SystemTime },
    Directory { names: BTreeMap<String, u64>, durable: BTreeMap<String, u64> },
}

#[derive(Debug, Clone)]
struct State {
    nodes: HashMap<u64, Node>,
    next: u64,
    now: SystemTime,
    capacity: u64,
    /// Operations that change something, until the power goes; `None`: it stays on.
    fuse: Option<u64>,
    off: bool,
    changes: u64,
    sync_failures: u64,
    sabotage: Sabotage,
}

/// A simulated disk. Clones share it.
#[derive(Debug, Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

fn missing(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{} does not exist", path.display()))
}

fn exists(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, format!("{} exists", path.display()))
}

fn power_is_off() -> io::Error {
    io::Error::other("the power is off")
}

impl State {
    fn find(&self, path: &Path) -> io::Result<u64> {
        let mut at = ROOT;
        for part in path.components() {
            let name = part.as_os_str().to_str().ok_or_else(|| missing(path))?;
            at = match self.nodes.get(&at) {
                Some(Node::Directory { names, .. }) => *names.get(name).ok_or_else(|| missing(path))?,
                Some(Node::File { .. }) => return Err(io::Error::from(io::ErrorKind::NotADirectory)),
                None => return Err(missing(path)),
            };
        }
        Ok(at)
    }

    fn directory(&mut self, path: &Path) -> io::Result<&mut BTreeMap<String, u64>> {
        let at = self.find(path)?;
        match self.nodes.get_mut(&at) {
            Some(Node::Directory { names, .. }) => Ok(names),
            _ => Err(io::Error::from(io::ErrorKind::NotADirectory)),
        }
    }

    fn split(path: &Path) -> io::Result<(&Path, String)> {
        let name = path.file_name().and_then(|n| n.to_str()).ok_or_else(|| missing(path))?;
        Ok((path.parent().unwrap_or(Path::new("")), name.to_string()))
    }

    fn add(&mut self, path: &Path, node: Node) -> io::Result<u64> {
        let (parent, name) = Self::split(path)?;
        let id = self.next;
        let names = self.directory(parent)?;
        if names.contains_key(&name) {
            return Err(exists(path));
        }
        names.insert(name, id);
        self.next += 1;
        self.nodes.insert(id, node);
        Ok(id)
    }

    fn metadata(&self, id: u64, path: &Path) -> io::Result<Metadata> {
        match self.nodes.get(&id) {
            Some(Node::File { content, modified, .. }) => {
                Ok(Metadata { kind: FileKind::File, size: content.len() as u64, modified: *modified, inode: id })
            }
            Some(Node::Directory { .. }) => {
                Ok(Metadata { kind: FileKind::Directory, size: 0, modified: self.now, inode: id })
            }
            None => Err(missing(path)),
        }
    }

    /// Counts one change; the one after the last finds the power off.
    fn change(&mut self) -> io::Result<()> {
        if self.off {
            return Err(power_is_off());
        }
        if let Some(left) = &mut self.fuse {
            if *left == 0 {
                self.off = true;
                return Err(power_is_off());
            }
            *left -= 1;
        }
        self.changes += 1;
        self.now += Duration::from_micros(10);
        Ok(())
    }

    fn used(&self) -> u64 {
        self.nodes.values().map(|n| if let Node::File { content, .. } = n { content.len() as u64 } else { 0 }).sum()
    }
}

impl SimDisk {
    /// An empty disk with room for everything.
    pub fn new() -> Self {
        let root = Node::Directory { names: BTreeMap::new(), durable: BTreeMap::new() };
        let state = State {
            nodes: HashMap::from([(ROOT, root)]),
            next: ROOT + 1,
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
            capacity: u64::MAX,
            fuse: None,
            off: false,
            changes: 0,
            sync_failures: 0,
            sabotage: Sabotage::default(),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Limits the bytes that files may hold together.
    pub fn set_capacity(&self, bytes: u64) {
        self.state.lock().capacity = bytes;
    }

    /// Plants faults.
    pub fn sabotage(&self, sabotage: Sabotage) {
        self.state.lock().sabotage = sabotage;
    }

    /// Lets so many more changes happen; then the power is off and everything fails.
    pub fn cut_after(&self, changes: u64) {
        self.state.lock().fuse = Some(changes);
    }

    /// Whether the power is off.
    pub fn is_off(&self) -> bool {
        self.state.lock().off
    }

    /// Changes made so far: writes, syncs and operations on names.
    pub fn changes(&self) -> u64 {
        self.state.lock().changes
    }

    /// How often a sync failed, each of which ends a real process.
    pub fn sync_failures(&self) -> u64 {
        self.state.lock().sync_failures
    }

    /// Moves the disk's clock.
    pub fn advance(&self, duration: Duration) {
        self.state.lock().now += duration;
    }

    /// Cuts the power for good and returns the disk as the next boot finds it. Faults and limits are gone there.
    pub fn power_cut(&self, cut: PowerCut) -> SimDisk {
        let mut old = self.state.lock();
        old.off = true;
        let mut state =
            State { fuse: None, off: false, capacity: u64::MAX, sabotage: Sabotage::default(), ..old.clone() };
        drop(old);
        let mut rng = match cut {
            PowerCut::DropAll => None,
            PowerCut::Random(seed) => Some(StdRng::seed_from_u64(seed)),
        };
        // In the order of ids, so that a seed always tears the same bytes.
        let mut ids: Vec<u64> = state.nodes.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            match state.nodes.get_mut(&id) {
                Some(Node::File { content, durable, .. }) => {
                    let left = survive_file(content, durable, rng.as_mut());
                    *content = Arc::clone(&left);
                    *durable = left;
                }
                Some(Node::Directory { names, durable }) => {
                    let left = survive_names(names, durable, rng.as_mut());
                    *names = left.clone();
                    *durable = left;
                }
                None => {}
            }
        }
        forget_unreachable(&mut state);
        SimDisk { state: Arc::new(Mutex::new(state)) }
    }
}

/// What is left of a file: its synced content, or with a seed some mixture of that and what came after.
fn survive_file(content: &Arc<Vec<u8>>, durable: &Arc<Vec<u8>>, rng: Option<&mut StdRng>) -> Arc<Vec<u8>> {
    let Some(rng) = rng else { return Arc::clone(durable) };
    if content == durable {
        return Arc::clone(durable);
    }
    let (short, long) = (content.len().min(durable.len()), content.len().max(durable.len()));
    let length = rng.random_range(short..=long);
    const SECTOR: usize = 512;
    let mut left = vec![0; length];
    for start in (0..length).step_by(SECTOR) {
        let source = if rng.random() { content } else { durable };
        let end = (start + SECTOR).min(length).min(source.len());
        if start < end {
            left[start..end].copy_from_slice(&source[start..end]);
        }
    }
    Arc::new(left)
}

fn survive_names(
    names: &BTreeMap<String, u64>,
    durable: &BTreeMap<String, u64>,
    rng: Option<&mut StdRng>,
) -> BTreeMap<String, u64> {
    let Some(rng) = rng else { return durable.clone() };
    let mut left = BTreeMap::new();
    let all: std::collections::BTreeSet<&String> = names.keys().chain(durable.keys()).collect();
    for name in all {
        let (new, old) = (names.get(name), durable.get(name));
        let kept = if new == old || rng.random() { new } else { old };
        if let Some(id) = kept {
            left.insert(name.clone(), *id);
        }
    }
    left
}

fn forget_unreachable(state: &mut State) {
    let mut reached = std::collections::HashSet::from([ROOT]);
    let mut pending = vec![ROOT];
    while let Some(id) = pending.pop() {
        if let Some(Node::Directory { names, .. }) = state.nodes.get(&id) {
            pending.extend(names.values().copied().filter(|id| reached.insert(*id)));
        }
    }
    state.nodes.retain(|id, _| reached.contains(id));
}

/// A file of a [`SimDisk`] being written.
#[derive(Debug)]
pub struct SimFile {
    state: Arc<Mutex<State>>,
    id: u64,
}

impl DiskFile for SimFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        if state.used() + bytes.len() as u64 > state.capacity {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let now = state.now;
        if let Some(Node::File { content, modified, .. }) = state.nodes.get_mut(&self.id) {
            let content = Arc::make_mut(content);
            let start = offset as usize;
            if content.len() < start + bytes.len() {
                content.resize(start + bytes.len(), 0);
            }
            content[start..start + bytes.len()].copy_from_slice(bytes);
            *modified = now;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        if state.sabotage.fail_file_syncs {
            return Err(io::Error::other("the disk reports an error"));
        }
        if state.sabotage.ignore_file_syncs {
            return Ok(());
        }
        if let Some(Node::File { content, durable, .. }) = state.nodes.get_mut(&self.id) {
            *durable = Arc::clone(content);
        }
        Ok(())
    }
}

impl Disk for SimDisk {
    type File = SimFile;
    const BLOCKING: bool = false;

    fn create_new(&self, path: &Path) -> io::Result<SimFile> {
        let mut state = self.state.lock();
        state.change()?;
        let modified = state.now;
        let node = Node::File { content: Arc::default(), durable: Arc::default(), modified };
        let id = state.add(path, node)?;
        Ok(SimFile { state: Arc::clone(&self.state), id })
    }

    fn open(&self, path: &Path) -> io::Result<Opened> {
        let state = self.state.lock();
        if state.off {
            return Err(power_is_off());
        }
        let id = state.find(path)?;
        let metadata = state.metadata(id, path)?;
        match state.nodes.get(&id) {
            Some(Node::File { content, .. }) => {
                Ok(Opened { metadata, content: Content::Bytes(Bytes::copy_from_slice(content)) })
            }
            _ => Err(missing(path)),
        }
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let state = self.state.lock();
        if state.off {
            return Err(power_is_off());
        }
        state.metadata(state.find(path)?, path)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        if state.sabotage.no_hard_links {
            return Err(io::Error::from(io::ErrorKind::Unsupported));
        }
        let id = state.find(from)?;
        let (parent, name) = State::split(to)?;
        let names = state.directory(parent)?;
        if names.contains_key(&name) {
            return Err(exists(to));
        }
        names.insert(name, id);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        let id = state.find(from)?;
        let ((from_parent, from_name), (to_parent, to_name)) = (State::split(from)?, State::split(to)?);
        if state.directory(to_parent)?.get(&to_name) == Some(&id) {
            return Ok(());
        }
        state.directory(to_parent)?.insert(to_name, id);
        state.directory(from_parent)?.remove(&from_name);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        let id = state.find(path)?;
        if let Some(Node::Directory { .. }) = state.nodes.get(&id) {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        let (parent, name) = State::split(path)?;
        state.directory(parent)?.remove(&name);
        Ok(())
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        state.add(path, Node::Directory { names: BTreeMap::new(), durable: BTreeMap::new() })?;
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        if state.sabotage.fail_dir_syncs {
            return Err(io::Error::other("the disk reports an error"));
        }
        if state.sabotage.ignore_dir_syncs {
            return Ok(());
        }
        let id = state.find(path)?;
        if let Some(Node::Directory { names, durable }) = state.nodes.get_mut(&id) {
            *durable = names.clone();
        }
        Ok(())
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let state = self.state.lock();
        if state.off {
            return Err(power_is_off());
        }
        let Some(Node::Directory { names, .. }) = state.nodes.get(&state.find(path)?) else {
            return Err(io::Error::from(io::ErrorKind::NotADirectory));
        };
        names
            .iter()
            .map(|(name, id)| Ok(DirEntry { name: name.clone(), kind: state.metadata(*id, path)?.kind }))
            .collect()
    }

    fn now(&self) -> SystemTime {
        self.state.lock().now
    }

    fn sync_failed(&self, _: &Path, _: &io::Error) {
        let mut state = self.state.lock();
        state.sync_failures += 1;
        // The process that saw this is gone.
        state.off = true;
    }
}
