//! Panics of a run: wherever they are caught, the run has failed.

use std::cell::RefCell;
use std::panic::PanicHookInfo;
use std::sync::Once;

thread_local! {
    /// The panics of the run on this thread, while there is one.
    static SEEN: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Notes panics of this thread from now on instead of printing them.
pub(crate) fn watch() {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !note(info) {
                before(info);
            }
        }));
    });
    SEEN.with_borrow_mut(|seen| *seen = Some(Vec::new()));
}

/// The panics since [`watch`].
pub(crate) fn seen() -> Vec<String> {
    SEEN.with_borrow_mut(Option::take).unwrap_or_default()
}

/// Whether somebody wants to know of it.
fn note(info: &PanicHookInfo<'_>) -> bool {
    SEEN.with_borrow_mut(|seen| match seen {
        Some(seen) => {
            seen.push(info.to_string());
            true
        }
        None => false,
    })
}
