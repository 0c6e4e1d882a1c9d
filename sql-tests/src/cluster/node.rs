//! One process of a cluster.

use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};

use crate::program::command;

/// A coordinator or an executor, running or not. It is killed when it is dropped.
#[derive(Debug)]
pub struct Node {
    name: String,
    role: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    log: PathBuf,
    child: Mutex<Option<Child>>,
}

impl Node {
    pub(super) fn new(
        name: &str,
        role: &str,
        arguments: Vec<String>,
        environment: Vec<(String, String)>,
        log: PathBuf,
    ) -> Self {
        Self { name: name.to_owned(), role: role.to_owned(), arguments, environment, log, child: Mutex::new(None) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts the process; one that runs already goes on.
    ///
    /// # Panics
    /// Where the program cannot be started.
    pub fn start(&self) {
        let mut child = self.child.lock();
        if child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None))) {
            return;
        }
        let mut arguments = vec![self.role.as_str()];
        arguments.extend(self.arguments.iter().map(String::as_str));
        let mut command = command(&arguments);
        command.envs(self.environment.iter().cloned());
        let (out, errors) = (self.open_log(), self.open_log());
        *child = Some(command.stdout(Stdio::from(out)).stderr(Stdio::from(errors)).spawn().expect("it starts"));
    }

    fn open_log(&self) -> File {
        OpenOptions::new().create(true).append(true).open(&self.log).expect("a log")
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether the process is there.
    pub fn is_running(&self) -> bool {
        self.child.lock().as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Kills the process at once.
    pub fn kill(&self) {
        if let Some(mut child) = self.child.lock().take() {
            // Only a process that is gone already cannot be killed.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks the process to end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits until the process has ended.
    pub fn wait(&self) {
        if let Some(mut child) = self.child.lock().take() {
            let _ = child.wait();
        }
    }

    /// Stops the process without ending it: it hangs.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a paused process go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.lock();
        let id = child.as_ref().and_then(|child| i32::try_from(child.id()).ok()).and_then(Pid::from_raw);
        if let Some(id) = id {
            // It may have ended by itself.
            let _ = kill_process(id, signal);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}
