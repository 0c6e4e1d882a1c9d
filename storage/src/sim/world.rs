//! Time, timers, randomness, the objects, who is frozen or cut off.

use super::store::SimStore;
use crate::env::{Clock, Env, Rng};
use crate::ids::{TableId, Version};
use async_trait::async_trait;
use bytes::Bytes;
use object_store::path::Path;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// A day of the simulated calendar to begin with.
const START_MS: i64 = 1_900_000_000_000;

/// What may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weather {
    /// Nothing.
    Calm,
    /// Everything: processes freeze for days, networks are cut.
    Anything,
    /// Replies of a store that is always there.
    Unreliable,
}

#[derive(Debug)]
pub(super) struct World {
    state: Mutex<State>,
    /// Tells every request on standard error, for one schedule that is being looked at.
    traced: bool,
}

#[derive(Debug)]
pub(super) struct State {
    now_ms: i64,
    timers: BTreeMap<(i64, u64), Waker>,
    timers_made: u64,
    random: u64,
    activity: u64,
    weather: Weather,
    /// Requests that will land whoever waits for them.
    late: u64,
    /// Until when each process stands still.
    frozen_until_ms: BTreeMap<usize, i64>,
    /// Until when each process cannot rely on any reply.
    cut_off_until_ms: BTreeMap<usize, i64>,
    pub(super) objects: BTreeMap<Path, Object>,
    /// The newest acknowledged version of each table.
    acknowledged: BTreeMap<TableId, Version>,
}

#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) bytes: Bytes,
    pub(super) modified_ms: i64,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let state = State {
            now_ms: START_MS,
            timers: BTreeMap::new(),
            timers_made: 0,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d,
            activity: 0,
            weather: Weather::Calm,
            late: 0,
            frozen_until_ms: BTreeMap::new(),
            cut_off_until_ms: BTreeMap::new(),
            objects: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
        };
        Self { state: Mutex::new(state), traced: std::env::var_os("VOLLEY_SIM_SEED").is_some() }
    }

    /// The outside world as one process sees it, with a clock that is wrong by `skew_ms`.
    pub(super) fn env(self: &Arc<Self>, process: usize, skew_ms: i64) -> Env {
        Env {
            clock: Arc::new(ProcessClock { world: self.clone(), process, skew_ms }),
            rng: Arc::new(WorldRng(self.clone())),
            store: Arc::new(SimStore { world: self.clone(), process }),
            local_root: None,
            disk_cache: None,
        }
    }

    pub(super) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        state.activity += 1;
        change(&mut state)
    }

    /// A number below `end`.
    pub(super) fn random(&self, end: u64) -> u64 {
        self.with(|state| state.random(end))
    }

    /// Whether something with this probability in a thousand happens.
    pub(super) fn chance(&self, per_mille: u64) -> bool {
        self.random(1000) < per_mille
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.state.lock().now_ms
    }

    pub(super) fn trace(&self, line: impl FnOnce() -> String) {
        if self.traced {
            eprintln!("{:>12} {}", self.now_ms() - START_MS, line());
        }
    }

    pub(super) fn activity(&self) -> u64 {
        self.state.lock().activity
    }

    pub(super) fn set_weather(&self, weather: Weather) {
        self.with(|state| {
            state.weather = weather;
            state.frozen_until_ms.clear();
            state.cut_off_until_ms.clear();
        });
    }

    pub(super) fn acknowledge(&self, table: TableId, version: Version) {
        self.with(|state| {
            let known = state.acknowledged.entry(table).or_default();
            *known = (*known).max(version);
        });
    }

    pub(super) fn acknowledged(&self, table: TableId) -> Version {
        self.with(|state| state.acknowledged.get(&table).copied().unwrap_or_default())
    }

    /// No request is under way and nobody waits.
    pub(super) fn is_quiet(&self) -> bool {
        let state = self.state.lock();
        state.late == 0 && state.timers.is_empty()
    }

    /// Moves the clock to the next timer; false when there is none.
    pub(super) fn fire_next_timer(&self) -> bool {
        let mut state = self.state.lock();
        let Some(((due_ms, _), waker)) = state.timers.pop_first() else { return false };
        state.now_ms = state.now_ms.max(due_ms);
        state.activity += 1;
        drop(state);
        waker.wake();
        true
    }

    /// Waits as a process does, which is not woken while it is frozen, or as nobody in particular.
    pub(super) fn sleep(self: &Arc<Self>, process: Option<usize>, wait_ms: u64) -> Sleep {
        let due_ms = self.now_ms() + wait_ms as i64;
        Sleep { world: self.clone(), process, due_ms, timer: None }
    }

    /// Runs a request that lands whatever becomes of its sender.
    pub(super) fn later(self: &Arc<Self>, wait_ms: u64, land: impl FnOnce(&mut State) + Send + 'static) {
        self.with(|state| state.late += 1);
        let world = self.clone();
        tokio::spawn(async move {
            world.sleep(None, wait_ms).await;
            world.with(|state| {
                land(state);
                state.late -= 1;
            });
        });
    }
}

impl State {
    /// SplitMix64.
    pub(super) fn random(&mut self, end: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end.max(1)
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.now_ms
    }

    pub(super) fn weather(&self) -> Weather {
        self.weather
    }

    pub(super) fn freeze(&mut self, process: usize, ms: u64) {
        self.frozen_until_ms.insert(process, self.now_ms + ms as i64);
    }

    pub(super) fn cut_off(&mut self, process: usize, ms: u64) {
        self.cut_off_until_ms.insert(process, self.now_ms + ms as i64);
    }

    pub(super) fn is_cut_off(&self, process: usize) -> bool {
        self.cut_off_until_ms.get(&process).is_some_and(|until| *until > self.now_ms)
    }
}

/// Waiting in simulated time.
#[derive(Debug)]
pub(super) struct Sleep {
    world: Arc<World>,
    process: Option<usize>,
    due_ms: i64,
    timer: Option<(i64, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let world = self.world.clone();
        let mut state = world.state.lock();
        if let Some(timer) = self.timer.take() {
            state.timers.remove(&timer);
        }
        let thaws_ms = self.process.and_then(|process| state.frozen_until_ms.get(&process).copied());
        let due_ms = self.due_ms.max(thaws_ms.unwrap_or(0));
        if state.now_ms >= due_ms {
            return Poll::Ready(());
        }
        state.timers_made += 1;
        let timer = (due_ms, state.timers_made);
        state.timers.insert(timer, context.waker().clone());
        self.timer = Some(timer);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer.take() {
            self.world.state.lock().timers.remove(&timer);
        }
    }
}

#[derive(Debug)]
struct ProcessClock {
    world: Arc<World>,
    process: usize,
    skew_ms: i64,
}

#[async_trait]
impl Clock for ProcessClock {
    fn now_ms(&self) -> i64 {
        self.world.now_ms() + self.skew_ms
    }

    async fn sleep(&self, duration: Duration) {
        self.world.sleep(Some(self.process), duration.as_millis() as u64).await;
    }
}

#[derive(Debug)]
struct WorldRng(Arc<World>);

impl Rng for WorldRng {
    fn random_u128(&self) -> u128 {
        u128::from(self.0.random(u64::MAX)) << 64 | u128::from(self.0.random(u64::MAX))
    }
}
