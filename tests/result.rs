//! `TASK.RESULT`: the state and the data of a task. Waiting for one: `waiting_for_results`.

use crate::support::{Server, Value, array, bulk, nil, nil_array};

/// `[state, data]`: the result of a completed task, the error of a failed one, else nil.
#[test]
fn answers_state_and_data() {
    let server = Server::start();
    server.run_all(&[
        "TASK.PUSH jobs x ID completed",
        "TASK.CLAIM jobs",
        "TASK.COMPLETE jobs completed done",
        "TASK.PUSH jobs x ID failed",
        "TASK.CLAIM jobs",
        "TASK.FAIL jobs failed \"no route\" DEAD",
        "TASK.PUSH jobs x ID scheduled",
        "TASK.CLAIM jobs",
        "TASK.FAIL jobs scheduled \"not shown yet\" DELAY 100000",
        "TASK.PUSH jobs x ID claimed",
        "TASK.CLAIM jobs",
        "TASK.PUSH jobs x ID canceled",
        "TASK.CANCEL jobs canceled",
        "TASK.PUSH jobs x ID expired TTL 1",
        "TASK.PUSH jobs x ID ready",
    ]);
    server.wait_for_state("expired", "expired");
    for (id, data) in [
        ("completed", bulk("done")),
        ("failed", bulk("no route")),
        ("scheduled", nil()),
        ("claimed", nil()),
        ("canceled", nil()),
        ("expired", nil()),
        ("ready", nil()),
    ] {
        let reply = server.run(&format!("TASK.RESULT jobs {id}"));
        assert_eq!(reply.at(0), id);
        assert_eq!(reply.at(1), &data, "{id}");
        assert_eq!(reply.items().len(), 2);
    }
}

/// nil (a null array) if there is no such task or queue, at once also with BLOCK; it makes no key.
#[test]
fn answers_nil_for_the_unknown() {
    let server = Server::start();
    server.run("TASK.PUSH jobs x");
    for ask in ["jobs none", "none a", "jobs none BLOCK 0", "none a BLOCK 0"] {
        assert_eq!(server.run(&format!("TASK.RESULT {ask}")), nil_array(), "{ask}");
    }
    assert_eq!(server.run("EXISTS none"), 0);
    let mut client = server.client();
    client.hello3();
    assert_eq!(client.run("TASK.RESULT jobs none"), Value::Null);
}

/// An empty result is a result, not nil.
#[test]
fn an_empty_result_is_not_nil() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs", "TASK.COMPLETE jobs a \"\""]);
    assert_eq!(server.run("TASK.RESULT jobs a"), array([bulk("completed"), bulk("")]));
}
