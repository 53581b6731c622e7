//! Tells a camera that stalls from one between two frames.

/// Glances that the time of a stall is divided into: a stall is noticed after that time, and at most this fraction later.
pub const GLANCES: u32 = 4;

/// A camera stalls when it has requests and [`GLANCES`] in a row see none completed. There is one warning for each stall.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch {
    completions: u64,
    seen: u64,
    /// Glances in a row that saw nothing new.
    idle: u32,
    warning_due: bool,
}

impl Watch {
    pub fn completed(&mut self) {
        self.completions += 1;
    }

    pub fn glance(&mut self, has_requests: bool) {
        if self.completions != self.seen || !has_requests {
            (self.seen, self.idle) = (self.completions, 0);
            return;
        }
        self.idle = self.idle.saturating_add(1);
        self.warning_due |= self.idle == GLANCES;
    }

    pub fn has_warning(&self) -> bool {
        self.warning_due
    }

    pub fn poll_warning(&mut self) -> bool {
        std::mem::take(&mut self.warning_due)
    }
}
