//! What the nodes of a cluster say to each other, as the format and the schedule of their packets make it.

/// A packet without gossip: mostly the bitmap of the sender's slots.
const HEADER_BYTES: f64 = 2_256.0;

/// What it says of one other node; it speaks of a tenth of them, and of three at least.
const GOSSIP_BYTES: f64 = 104.0;

/// The load of one node.
pub(crate) struct Bus {
    pub(crate) links: u32,
    pub(crate) packets: f64,
    pub(crate) mbits: f64,
    pub(crate) packet_bytes: f64,
}

/// In a cluster of so many nodes, masters and replicas. Each pings every other one at least once in half the node timeout, is
/// pinged as often, and each ping is answered by a pong of the same size. Sent and received count both.
pub(crate) fn of(nodes: u32, timeout_s: f64) -> Bus {
    let others = f64::from(nodes - 1);
    let packet_bytes = HEADER_BYTES + GOSSIP_BYTES * (f64::from(nodes) / 10.0).floor().max(3.0);
    // One in each second goes out in any case.
    let pings = (others / (timeout_s / 2.0)).max(1.0);
    let packets = 4.0 * pings;
    Bus { links: 2 * (nodes - 1), packets, mbits: packets * packet_bytes * 8.0 / 1_000_000.0, packet_bytes }
}
