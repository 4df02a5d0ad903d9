//! A cluster under load while slots move and a master dies: what was confirmed is kept.

use crate::support::{
    Server,
    cluster::{AGREEMENT, Cluster, migrate_slot, migrate_slot_atomically, migrates_atomically},
    eventually_within,
    history::{History, Load},
};

/// Waits until a replica has all that this node holds of the queue's slot. Until then the death of the node would take with it
/// what MIGRATE has just brought, and no WAIT on the old node speaks of that.
#[track_caller]
fn settle(node: &Server, queue: &str) {
    let mut client = node.client();
    assert_eq!(client.run(&format!("SET {queue}:settled yes")), "OK");
    assert_eq!(client.run("WAIT 1 20000"), 1);
}

/// Producers and workers over several queues; a slot moves away, its new master is killed, comes back as a replica, and the slot
/// moves on. Nothing that a replica confirmed is lost, no result changes, no attempt is given twice.
#[test]
fn what_was_confirmed_outlives_migrations_and_a_death() {
    let mut cluster = Cluster::start(3, true);
    let queues: Vec<_> = (0..6).map(|n| format!("jobs:{{{n}}}")).collect();
    let history = History::over(queues.clone());
    let at = |cluster: &Cluster, queue: &str| {
        let port = cluster.place(queue).1.port();
        cluster.masters.iter().position(|master| master.port() == port).expect("a master")
    };
    let places: Vec<_> = queues.iter().map(|queue| at(&cluster, queue)).collect();
    assert!((0..3).all(|master| places.contains(&master)), "each master has a queue: {places:?}");
    let (moving, from) = (&queues[0], places[0]);
    let (victim, last) = ((from + 1) % 3, (from + 2) % 3);
    let slot = cluster.place(moving).0;

    let load = Load::confirmed(&cluster, &history, 1);
    history.wait_for_ends(200);
    history.fault("slot moved under load");
    migrate_slot(slot, &cluster.masters[from], &cluster.masters[victim]);
    settle(&cluster.masters[victim], moving);
    history.wait_for_ends(200);

    history.fault("kill -9 of a cluster's master");
    cluster.masters[victim].kill();
    eventually_within(AGREEMENT, || cluster.replicas[victim].info("role") == "master");
    cluster.masters[victim].start_again();
    eventually_within(AGREEMENT, || cluster.masters[victim].info("master_link_status") == "up");
    history.wait_for_ends(300);

    history.fault("slot moved under load");
    let (source, target) = (&cluster.replicas[victim], &cluster.masters[last]);
    if migrates_atomically(source) {
        migrate_slot_atomically(slot, source, target);
    } else {
        migrate_slot(slot, source, target);
    }
    history.wait_for_ends(200);
    load.stop();
    history.finish(&cluster);
    let keys = [source, target].map(|node| node.run(&format!("CLUSTER COUNTKEYSINSLOT {slot}")).int());
    assert_eq!(keys, [0, 3], "the queue, its mark and its readers' cursors");
}
