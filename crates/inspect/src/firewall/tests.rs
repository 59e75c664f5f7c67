//! What is pure of the firewall: ranges, and any bytes.

use proptest::prelude::*;

use super::*;

#[test]
fn ranges_end_where_the_next_edge_is_and_wrap_nowhere() {
    assert_eq!(before(&[10, 0, 0, 0]), [9, 255, 255, 255]);
    let set = Set {
        family: 2,
        table: "t".to_owned(),
        name: "s".to_owned(),
        handle: 1,
        is_anonymous: true,
        has_ranges: true,
        key: vec![7],
        value: Vec::new(),
    };
    let mut kept = Kept::default();
    for (key, is_end) in [
        ([9, 0, 0, 0], false),
        ([8, 0, 0, 0], true),
        ([7, 0, 0, 0], false),
        ([9, 0, 0, 0], true),
        ([8, 0, 0, 0], false),
    ] {
        kept.hear(&set, Element { key: key.to_vec(), is_end, ..Element::default() }, &Names::default());
    }
    let said: Vec<String> =
        kept.end(&set, &Names::default()).iter().map(|one| words::element(&[7], &[], one)).collect();
    assert_eq!(said, ["7.0.0.0-7.255.255.255", "8.0.0.0-8.255.255.255", "9.0.0.0-255.255.255.255"]);
}

#[test]
fn a_group_is_named_by_its_path_as_iptables_has_it() {
    let mut info = [[1, 0, 0, 0].as_slice(), b"team/web"].concat();
    info.resize(4 + 512, 0);
    let found = xtables::matched("cgroup", 2, &info).unwrap();
    assert_eq!(found.text, "socket cgroupv2 \"team/web\"");
    let names = Names { groups: vec![(7, "/team/web".into()), (6, "/team".into())], ..Names::default() };
    assert_eq!(names.all_meant(found.names.iter()), ["/team/web"]);
    assert_eq!(names.meant(&Named::Group(6)).as_deref(), Some("/team"));
}

proptest! {
    #[test]
    fn any_match_and_target_is_read_or_is_not(
        name in "tcp|udp|sctp|cgroup|comment|conntrack|addrtype|DNAT", revision in 0..4_u32, info: Vec<u8>,
    ) {
        let _ = (xtables::matched(&name, revision, &info), xtables::destination(&name, revision, &info));
        let _ = words::element(&[7, 12, 13], &[8, 13], &Element { key: info.clone(), value: info, ..Element::default() });
    }
}
