//! By what metrics are told apart.

use prometheus_client::encoding::EncodeLabelSet;

/// The socket protocol a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    Native,
    SocketIo,
}

/// One metric for each protocol, without a look-up.
#[derive(Debug, Default)]
pub struct PerProtocol<M> {
    pub(super) native: M,
    pub(super) socketio: M,
}

impl<M> PerProtocol<M> {
    /// The metric of `protocol`.
    pub fn of(&self, protocol: Protocol) -> &M {
        match protocol {
            Protocol::Native => &self.native,
            Protocol::SocketIo => &self.socketio,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ProtocolLabel {
    pub(super) protocol: &'static str,
}

/// Label of metrics by error or close code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CodeLabel {
    pub(super) code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ConsumerLabel {
    pub(super) consumer: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct SourceLabel {
    pub(super) source: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RouteLabel {
    pub(super) route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RouteStatusLabel {
    pub(super) route: String,
    pub(super) status: u16,
}
