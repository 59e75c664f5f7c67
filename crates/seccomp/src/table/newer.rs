//! System calls that came after the headers of Linux 6.1, up to Linux 6.18; kept by hand.

use super::Call;

/// A call with the same number on every architecture, as all have since number 424.
const fn everywhere(name: &'static str, number: u32) -> Call {
    Call { name, numbers: [Some(number); 5] }
}

/// Sorted by name; the kernel that brought each in the comment.
pub(super) static NEWER: &[Call] = &[
    everywhere("cachestat", 451),                                             // 6.5
    everywhere("fchmodat2", 452),                                             // 6.6
    everywhere("file_getattr", 468),                                          // 6.17
    everywhere("file_setattr", 469),                                          // 6.17
    everywhere("futex_requeue", 456),                                         // 6.7
    everywhere("futex_wait", 455),                                            // 6.7
    everywhere("futex_wake", 454),                                            // 6.7
    everywhere("getxattrat", 464),                                            // 6.13
    everywhere("listmount", 458),                                             // 6.8
    everywhere("listxattrat", 465),                                           // 6.13
    everywhere("lsm_get_self_attr", 459),                                     // 6.8
    everywhere("lsm_list_modules", 461),                                      // 6.8
    everywhere("lsm_set_self_attr", 460),                                     // 6.8
    everywhere("map_shadow_stack", 453),                                      // 6.6
    everywhere("mseal", 462),                                                 // 6.10
    everywhere("open_tree_attr", 467),                                        // 6.15
    everywhere("removexattrat", 466),                                         // 6.13
    everywhere("setxattrat", 463),                                            // 6.13
    everywhere("statmount", 457),                                             // 6.8
    Call { name: "uprobe", numbers: [Some(336), None, None, None, None] },    // 6.18
    Call { name: "uretprobe", numbers: [Some(335), None, None, None, None] }, // 6.11
];
