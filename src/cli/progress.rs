//! How far something long has come: a bar on stderr while it is a terminal, and nothing at all elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Gone from the screen when it is dropped.
pub struct Progress(ProgressBar);

impl Progress {
    /// Of a number of steps, with the time that is left; without a number, only that something is done.
    pub fn of(total: Option<u64>) -> Self {
        let template = match total {
            Some(_) => "{elapsed_precise} [{bar:32}] {percent:>3} %  {msg}  {eta} left",
            None => "{elapsed_precise} {spinner} {msg}",
        };
        // Hidden unless stderr is a terminal.
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::with_template(template).expect("a template of ours").progress_chars("=> "));
        bar.enable_steady_tick(Duration::from_millis(200));
        Progress(bar)
    }

    /// So many steps are done. `text` must be plain.
    pub fn is_at(&self, steps: u64, text: String) {
        self.0.set_position(steps);
        self.0.set_message(text);
    }

    /// Writes something above it.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.0.suspend(write)
    }

    /// How many of something are done in a second.
    pub fn rate(&self, count: u64) -> u64 {
        let ms = u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        count.saturating_mul(1000) / ms
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
