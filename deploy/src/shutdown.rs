//! When to stop: Ctrl-C, SIGTERM, or the end of the process that started this one.

use std::io::{self, Read};
use std::sync::Arc;
use std::thread;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::console;
use crate::error::Error;

/// The wish to stop, shared by everything that has to hear of it.
#[derive(Debug, Clone)]
pub(crate) struct Shutdown {
    sender: Arc<watch::Sender<bool>>,
}

impl Shutdown {
    /// Listens to SIGINT and SIGTERM: the first one asks everything to finish, a second one ends the process at once.
    ///
    /// # Errors
    /// [`Error::Setup`] when the system takes no more signal handlers.
    pub(crate) fn on_signals() -> Result<Self, Error> {
        let setup = |source| Error::Setup { what: "the signal handlers", source };
        let mut interrupt = signal(SignalKind::interrupt()).map_err(setup)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(setup)?;
        let shutdown = Self { sender: Arc::new(watch::Sender::new(false)) };
        let first = shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            first.request();
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            console::note("quickdb: stopped at once, without waiting for running statements");
            std::process::exit(1);
        });
        Ok(shutdown)
    }

    /// Asks to stop also when standard input ends, which it does when the process at the other end of the pipe dies,
    /// however it dies.
    pub(crate) fn also_with_parent(&self) {
        let shutdown = self.clone();
        // A thread of its own: a blocking read on the runtime would keep the runtime from ending.
        thread::spawn(move || {
            let mut ignored = [0_u8; 512];
            let mut input = io::stdin().lock();
            loop {
                match input.read(&mut ignored) {
                    Ok(0) => break,
                    Err(error) if error.kind() != io::ErrorKind::Interrupted => break,
                    _ => {}
                }
            }
            shutdown.request();
        });
    }

    /// Asks everything to finish.
    pub(crate) fn request(&self) {
        self.sender.send_replace(true);
    }

    /// Waits until someone asks to stop.
    pub(crate) async fn requested(&self) {
        // The sender lives as long as `self`, so waiting ends with the value and never with an error.
        let _ = self.sender.subscribe().wait_for(|stop| *stop).await;
    }
}
