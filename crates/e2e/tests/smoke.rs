//! The shortest way through everything: a container runs, ends, and leaves nothing.

use carboy_e2e::Carboy;

#[test]
fn a_container_runs_and_leaves_nothing() {
    let carboy = Carboy::new();
    let ended = carboy.run(["run", "--rm", "host", "echo", "hello"]);
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, "hello\n", ""));
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn a_folder_is_a_root_too_and_stays_as_it_was() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    let root = root.to_str().unwrap();
    let ended = carboy.run(["run", "--rm", root, "sh", "-c", "echo x > /new; cat /new"]);
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, "x\n", ""));
    assert!(!carboy.busybox().join("new").exists());
}
