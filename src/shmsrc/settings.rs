//! What the user may set, and the only place that knows the defaults.

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub socket_path: Option<String>,
    pub is_live: bool,
    pub reconnect: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            socket_path: None,
            is_live: true,
            reconnect: true,
        }
    }
}
