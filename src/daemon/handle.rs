//! What an entrance may know of the daemon that runs it.

/// How far the daemon's end has come. It only goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Everything is served.
    Serving,
    /// Asked to stop: nothing new is taken, what is under way ends, and whoever asks is still answered.
    Draining,
    /// All that was under way is recorded: entrances close.
    Closing,
}
