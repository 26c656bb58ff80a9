//! A view that follows the metastore for as long as the process lives, and is there before the metastore is.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use env::{FileSystem, Scope};
use proto::metastore::WatchRequest;
use proto::{Code, Error};
use rpc::grpc::{Backoff, from_status};
use tokio::sync::{Mutex, watch};

use crate::client::{Client, WatchStream};
use crate::saved::{self, SavedViewError};
use crate::view::{Changed, Follower, View};

/// Waits between attempts to watch.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// What a watcher needs.
pub struct WatcherDeps {
    /// Where its view is kept.
    pub fs: Arc<dyn FileSystem>,
    /// The file.
    pub path: PathBuf,
    /// Where its tasks run.
    pub scope: Scope,
}

/// A view, kept current. Clones see the same view.
#[derive(Clone)]
pub struct Watcher {
    views: watch::Receiver<Arc<View>>,
    save: Arc<Save>,
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").field("revision", &self.views.borrow().revision()).finish_non_exhaustive()
    }
}

/// Why a watch ended.
enum Ended {
    /// It has to begin again with a snapshot.
    Compacted,
    /// Another node should be asked.
    Failed(Error),
}

impl Watcher {
    /// Begins to watch the records under `prefixes`, from the view that was saved last, if there is one. It is current
    /// as soon as a node of the metastore answers; see [`Watcher::known`].
    ///
    /// # Errors
    /// Where the disk fails. A saved view that is damaged counts as none.
    pub async fn start(
        client: Client,
        prefixes: Vec<Bytes>,
        deps: WatcherDeps,
    ) -> Result<Self, SavedViewError> {
        let WatcherDeps { fs, path, scope } = deps;
        let loaded = {
            let (fs, path) = (Arc::clone(&fs), path.clone());
            scope.run_blocking(move || saved::load(&*fs, &path)).await
        };
        let stopped = |error: env::TaskError| SavedViewError::Io {
            path: path.clone(),
            source: std::io::Error::other(error),
        };
        let view = match loaded.map_err(stopped)? {
            Ok(view) => view.unwrap_or_default(),
            // The metastore has what it said. Without it the process is as careful as one that never had a view.
            Err(error @ SavedViewError::Damaged { .. }) => {
                tracing::error!(%error, "the saved view is not used; waiting for the metastore instead");
                View::default()
            }
            Err(error) => return Err(error),
        };
        let written = Mutex::new(view.is_known().then(|| content(&view)));
        let (publish, views) = watch::channel(Arc::new(view));
        let follow = Follow { client: client.clone(), prefixes, publish };
        let save = Save { client, views: views.clone(), fs, path, scope: scope.clone(), written };
        let save = Arc::new(save);
        // Both end with the scope; nobody waits for them.
        drop(scope.spawn("membership watch", follow.run()));
        drop(scope.spawn("membership save", Arc::clone(&save).run()));
        Ok(Self { views, save })
    }

    /// Saves what was heard last, if that was not done yet. For a process that stops in order: without it the next start
    /// may begin with a view that is older by the saves' interval, and find nobody who says more.
    pub async fn save(&self) {
        self.save.save().await;
    }

    /// The view now: the last one, however old, while the metastore is away.
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.views.borrow())
    }

    /// To be told of changes.
    pub fn subscribe(&self) -> watch::Receiver<Arc<View>> {
        self.views.clone()
    }

    /// The view, once there is one: at once where one was saved.
    pub async fn known(&self) -> Arc<View> {
        self.reached(0).await
    }

    /// The view, once it is known and has reached a revision.
    pub async fn reached(&self, revision: u64) -> Arc<View> {
        let mut views = self.views.clone();
        match views.wait_for(|view| view.is_known() && view.revision() >= revision).await {
            Ok(view) => Arc::clone(&view),
            // The scope is being ended, and whoever waits with it.
            Err(_) => std::future::pending().await,
        }
    }
}

/// Follows the metastore.
struct Follow {
    client: Client,
    prefixes: Vec<Bytes>,
    publish: watch::Sender<Arc<View>>,
}

impl Follow {
    async fn run(self) {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        // The saved view may be one of other prefixes, of which later events say nothing of what was there before.
        let mut from_snapshot = true;
        loop {
            self.client.metrics().watch_starts.inc();
            let before = self.publish.borrow().revision();
            let ended = self.watch(from_snapshot).await;
            self.client.metrics().connected.set(0);
            from_snapshot = match ended {
                Ended::Compacted => true,
                Ended::Failed(error) => {
                    tracing::debug!(%error, "the watch of the metastore was interrupted");
                    from_snapshot && self.publish.borrow().revision() == before
                }
            };
            if self.publish.borrow().revision() > before {
                backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
            }
            self.client.clock().sleep(backoff.wait(&**self.client.rng())).await;
        }
    }

    async fn watch(&self, from_snapshot: bool) -> Ended {
        let view = self.publish.borrow().clone();
        let request = WatchRequest {
            prefixes: self.prefixes.clone(),
            after_revision: if from_snapshot { 0 } else { view.revision() },
            cluster_id: view.cluster_id(),
        };
        drop(view);
        match self.client.watch(request).await {
            Ok(mut frames) => self.follow(&mut frames).await,
            Err(error) => Ended::Failed(error),
        }
    }

    async fn follow(&self, frames: &mut WatchStream) -> Ended {
        let mut follower = Follower::default();
        loop {
            let silence = self.client.clock().sleep(self.client.config().silence_timeout);
            let frame = tokio::select! {
                biased;
                frame = frames.message() => frame,
                () = silence => return failed("the node says nothing any more"),
            };
            let frame = match frame {
                Ok(Some(frame)) => frame,
                Ok(None) => return failed("the node ended the watch"),
                Err(status) => return Ended::Failed(from_status(&status)),
            };
            self.client.knows(frame.header.as_ref());
            let staleness = frame.header.as_ref().and_then(|header| header.staleness_ms);
            let mut view = (**self.publish.borrow()).clone();
            match follower.take(&mut view, frame) {
                Ok(Changed::Compacted) => return Ended::Compacted,
                Ok(changed) => {
                    if changed == Changed::Replaced {
                        self.client.metrics().snapshots.inc();
                    }
                    self.publish(view, changed);
                }
                Err(error) => return failed(&error.to_string()),
            }
            if staleness.is_none_or(|ms| Duration::from_millis(ms) > self.client.config().max_staleness) {
                return failed("the node cannot say that its state is recent");
            }
            self.client.metrics().connected.set(1);
        }
    }

    fn publish(&self, view: View, changed: Changed) {
        self.client.metrics().revision.set(i64::try_from(view.revision()).unwrap_or(i64::MAX));
        self.publish.send_if_modified(|current| {
            let moved = current.revision() != view.revision();
            *current = Arc::new(view);
            moved || changed != Changed::Nothing
        });
    }
}

fn failed(message: &str) -> Ended {
    Ended::Failed(Error::new(Code::Unavailable, message))
}

/// A cluster, and the newest change of the records that are watched. That other records have changed is nothing to write
/// down.
type Content = (u64, u64);

fn content(view: &View) -> Content {
    (view.cluster_id(), view.last_change())
}

/// Writes the view to the disk when it has changed, not too often.
struct Save {
    client: Client,
    views: watch::Receiver<Arc<View>>,
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
    scope: Scope,
    /// What the file holds; held while it is written, so that one at a time does that.
    written: Mutex<Option<Content>>,
}

impl Save {
    async fn run(self: Arc<Self>) {
        let mut views = self.views.clone();
        while views.changed().await.is_ok() {
            if self.save().await {
                self.client.clock().sleep(self.client.config().save_interval).await;
            }
        }
    }

    /// Writes the view as it is now; whether there was anything to write.
    async fn save(&self) -> bool {
        let mut written = self.written.lock().await;
        let view = Arc::clone(&self.views.borrow());
        let content = content(&view);
        if !view.is_known() || *written == Some(content) {
            return false;
        }
        let (fs, path) = (Arc::clone(&self.fs), self.path.clone());
        let saved = self.scope.run_blocking(move || saved::save(&*fs, &path, &view)).await;
        *written = matches!(saved, Ok(Ok(()))).then_some(content);
        if let Ok(Err(error)) = saved {
            self.client.metrics().failed_saves.inc();
            tracing::warn!(%error, "the view of the metastore was not saved; a restart begins with an older one");
        }
        true
    }
}
